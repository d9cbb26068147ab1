/** Something that is not there (any more), with the way back. */
import { Empty } from '../parts/empty.tsx'
import { href } from '../route.ts'

export function NotFound({ what, list }: { what: string; list: string }) {
  return (
    <>
      <header class="title">
        <h1>Not found</h1>
      </header>
      <Empty
        title={`There is no ${what}.`}
        text="It may have been removed, or the address is wrong."
      />
      <p class="centre">
        <a href={href(list === '' ? [] : [list])}>Back to {list === '' ? 'the fleet' : list}</a>
      </p>
    </>
  )
}
