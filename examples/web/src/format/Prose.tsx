// A sentence in which backticks mark what is code, as the server's messages and this page's own do.
export function Prose({ text }: { text: string }) {
  return text.split(/`([^`]+)`/).map((part, at) =>
    // Every second part stood between backticks.
    at % 2 === 1 ? (
      // biome-ignore lint/suspicious/noArrayIndexKey: a part is its place in the sentence
      <code key={at}>{part}</code>
    ) : (
      part
    ),
  );
}
