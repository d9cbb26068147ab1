/** The heads of a table that does not sort: `'num'` sets right what stands over figures. */
export type Head = string | readonly [title: string, kind: 'num' | 'cross']

export function TableHead({ heads }: { heads: readonly Head[] }) {
  return (
    <thead>
      <tr>
        {heads.map((head) => {
          const [title, kind] = typeof head === 'string' ? [head] : head
          return (
            <th key={title} scope="col" class={kind}>
              {title}
            </th>
          )
        })}
      </tr>
    </thead>
  )
}
