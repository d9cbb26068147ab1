/** The frame around every view: navigation, the state of the stream, dialogs and notices. */
import { useEffect, useRef } from 'preact/hooks'
import { reload } from './live/live.ts'
import { access, session, staleForMs, stream } from './live/store.ts'
import { clock, moment } from './model/format.ts'
import { href, route } from './route.ts'
import { ConfirmDialog } from './shell/confirm-dialog.tsx'
import { Palette } from './shell/palette.tsx'
import { ShortcutsDialog } from './shell/shortcuts.tsx'
import { ToastBox } from './shell/toast.tsx'
import { DecisionsView } from './views/decisions.tsx'
import { DeviceView } from './views/device.tsx'
import { DevicesView } from './views/devices.tsx'
import { FleetView } from './views/fleet.tsx'
import { NotFound } from './views/not-found.tsx'
import { ReleaseView } from './views/release.tsx'
import { ReleasesView } from './views/releases.tsx'
import { RolloutView } from './views/rollout.tsx'
import { RolloutsView } from './views/rollouts.tsx'
import { SignInView, UnreachableView } from './views/sign-in.tsx'

export function App() {
  if (access.value === 'out') return <SignInView />
  if (access.value === 'unreachable') return <UnreachableView />
  if (access.value === 'loading') return <p class="loading soft">Asking the controller…</p>
  return (
    <>
      <button
        type="button"
        class="skip"
        onClick={() => document.getElementById('content')?.focus()}
      >
        Skip to the content
      </button>
      <TopBar />
      <StaleBanner />
      <Content />
      <ConfirmDialog />
      <Palette />
      <ShortcutsDialog />
      <ToastBox />
    </>
  )
}

/** A new view is announced by moving the focus to it; changes within a view leave it alone. */
function Content() {
  const main = useRef<HTMLElement>(null)
  const path = route.value.path.join('/')
  const isFirst = useRef(true)
  useEffect(() => {
    if (!isFirst.current) main.current?.focus({ preventScroll: true })
    isFirst.current = false
    document.title = path === '' ? 'Linnet' : `${route.peek().path.slice(0, 3).join(' ')} · Linnet`
  }, [path])
  return (
    <main id="content" ref={main} tabIndex={-1}>
      <View />
    </main>
  )
}

function View() {
  const [first, second, third] = route.value.path
  switch (first) {
    case undefined:
      return <FleetView />
    case 'rollouts':
      return second === undefined ? <RolloutsView /> : <RolloutView key={second} id={second} />
    case 'devices':
      return second === undefined ? <DevicesView /> : <DeviceView key={second} device={second} />
    case 'releases':
      if (second === undefined || third === undefined) return <ReleasesView />
      return <ReleaseView model={second} version={third} />
    case 'decisions':
      return <DecisionsView />
    default:
      return <NotFound what={`page ${first}`} list="" />
  }
}

const PAGES = [
  ['', 'Fleet'],
  ['rollouts', 'Rollouts'],
  ['devices', 'Devices'],
  ['releases', 'Releases'],
  ['decisions', 'Decisions'],
] as const

function TopBar() {
  const here = route.value.path[0] ?? ''
  const who = session.value
  return (
    <header class="top">
      <a class="brand" href={href([])}>
        <img src="linnet.svg" alt="" width="24" height="24" />
        Linnet
      </a>
      <nav aria-label="Views">
        {PAGES.map(([path, title]) => (
          <a
            key={path}
            href={href(path === '' ? [] : [path])}
            aria-current={here === path ? 'page' : undefined}
          >
            {title}
          </a>
        ))}
      </nav>
      <div class="top-side">
        <StreamMark />
        <button type="button" class="kbd-button" data-open-palette aria-keyshortcuts="Control+K">
          Go to <kbd>Ctrl K</kbd>
        </button>
        <button
          type="button"
          class="kbd-button"
          data-open-shortcuts
          aria-label="Keyboard shortcuts"
        >
          <kbd>?</kbd>
        </button>
        {who !== null && (
          <span class="who soft" title={`signed in as ${who.name}`}>
            {who.role}
          </span>
        )}
      </div>
    </header>
  )
}

function StreamMark() {
  const isStale = staleForMs.value !== null
  const [tone, word, glyph] = isStale ? ['warn', 'stale', '◌'] : ['good', 'live', '●']
  return (
    <span class={`mark ${tone}`} title="Changes arrive by themselves, at most once a second">
      <span class="glyph" aria-hidden="true">
        {glyph}
      </span>
      {word}
    </span>
  )
}

function StaleBanner() {
  const silentMs = staleForMs.value
  return (
    <div role="status" class="stale-place">
      {silentMs !== null && (
        <div class="stale" data-stale>
          <p>
            <b>No news from the controller for {clock(silentMs)}.</b> What you see is from{' '}
            {moment(stream.value.heardAtMs)}; devices go on serving.
          </p>
          <button type="button" class="button plain" onClick={reload}>
            Ask now
          </button>
        </div>
      )}
    </div>
  )
}
