/**
 * Custom elements for any page: `<millrace-monitor>` shows all jobs, `<millrace-job job-id="…">` one.
 *
 *     <script type="module" src="https://millrace.example/client/elements.js"></script>
 *     <millrace-monitor mode="compact" key="mr_…"></millrace-monitor>
 *
 * Attributes: `url` (by default where this module came from), `key` (else the session's cookie), `mode` (`compact` or
 * `full`), `readonly`. Instead of url and key a script may set the property `client`, as `connect` made it. They follow
 * the page's `color-scheme`, and take its colours by custom properties: `--millrace-accent`, `-card`,
 * `-sunk`, `-text`, `-muted`, `-line`, `-bad`, `-warn`, `-font`, `-round`.
 *
 * Events, which bubble out: `millrace:rejects` (`detail.job`; call `preventDefault` to show them yourself),
 * `millrace:ended` (`detail.job`).
 */

export { MillraceJob } from './job-element.js'
export { MillraceMonitor } from './monitor.js'
