/** Nobody is signed in, or nothing answers: what to do, here and on the machine of the controller. */
import { useState } from 'preact/hooks'
import { reload } from '../live/live.ts'
import { accessProblem } from '../live/store.ts'
import { CopyCommand } from '../parts/copy-command.tsx'

export function SignInView() {
  return (
    <main class="door">
      <img src="linnet.svg" alt="" width="56" height="56" />
      <h1>Sign in with a one-time link</h1>
      <p>
        There is no password. When the controller starts it prints a link that signs this browser in
        once; open that link, or paste it here.
      </p>
      <PasteLink />
      <p class="soft">No link at hand? On the machine where the controller runs:</p>
      <CopyCommand text="linnet login" />
      <p class="soft">Signed in in another tab already?</p>
      <button type="button" class="button plain" onClick={reload}>
        Look again
      </button>
    </main>
  )
}

function PasteLink() {
  const [text, setText] = useState('')
  const code = /[?&]code=([A-Za-z0-9_-]{20,64})/.exec(text)?.[1] ?? bareCode(text)
  return (
    <form
      class="paste"
      onSubmit={(event) => {
        event.preventDefault()
        if (code !== undefined) location.assign(`/login?code=${code}`)
      }}
    >
      <label for="link">Link or code</label>
      <input
        id="link"
        type="text"
        autocomplete="off"
        spellcheck={false}
        placeholder={`${location.origin}/login?code=…`}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <button type="submit" class="button primary" aria-disabled={code === undefined}>
        Sign in
      </button>
      {text !== '' && code === undefined && (
        <p class="hint" role="status">
          This is no login link: it ends in ?code= and a code of 20 characters or more.
        </p>
      )}
    </form>
  )
}

function bareCode(text: string): string | undefined {
  return /^\s*([A-Za-z0-9_-]{20,64})\s*$/.exec(text)?.[1]
}

export function UnreachableView() {
  const problem = accessProblem.value
  return (
    <main class="door">
      <img src="linnet.svg" alt="" width="56" height="56" />
      <h1>The controller does not answer</h1>
      <p>{problem?.message ?? 'Nothing came back.'} This page asks again every second.</p>
      {problem?.found !== undefined && <p class="soft">{problem.found}</p>}
      <CopyCommand text="linnet controller" />
      <button type="button" class="button plain" onClick={reload}>
        Ask now
      </button>
    </main>
  )
}
