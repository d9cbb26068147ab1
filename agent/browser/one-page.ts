/**
 * One device runs in one page: two tabs with one key would throw each other off the broker for ever.
 * Web Locks need a secure context; without one nothing holds the second tab back.
 */
const LOCK = 'linnet-device'

/**
 * Resolves when this page may be the device; until then `onWait` was told once.
 * @returns what gives the device free for another page.
 */
export async function holdDevice(onWait: () => void): Promise<() => void> {
  const { locks } = navigator as Partial<Pick<Navigator, 'locks'>>
  if (locks === undefined) return () => undefined
  return new Promise((resolve) => {
    const hold = () =>
      new Promise<void>((release) => {
        resolve(release)
      })
    void locks.request(LOCK, { ifAvailable: true }, (lock) => {
      if (lock !== null) return hold()
      onWait()
      void locks.request(LOCK, hold)
      return undefined
    })
  })
}
