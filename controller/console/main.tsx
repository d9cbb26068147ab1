/**
 * The console: a page that shows the fleet live and gives commands. It holds no truth of its own;
 * everything comes from the controller's HTTP interface, and every rule from shared/.
 */
import { render } from 'preact'
import { App } from './app.tsx'
import { startKeyboard } from './keyboard.ts'
import { startLive } from './live/live.ts'

render(<App />, document.getElementById('app')!)
startKeyboard()
startLive()
