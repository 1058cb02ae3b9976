// What a build may be told from outside.
interface ImportMetaEnv {
  /** The server's address for a page on static hosting; without it, the page's own origin. */
  readonly VITE_RUNNER_SERVER?: string;
}
