// How things stand on the wire: modules and files in a path, and bodies that are read to a bound. Pure but for the reading.
import type { BodyEnd } from './types';

/** `:` and `@` may stand in a path as they are, and read better in a log. */
export function encodeRef(ref: string): string {
  return encodeURIComponent(ref).replaceAll('%3A', ':').replaceAll('%40', '@');
}

/** A path and query as typed: the characters with which a browser would end the path, or begin another segment, stay text. */
export function encodePath(path: string): string {
  return path
    .replace(/^\/+/, '')
    .replaceAll('#', '%23')
    .replace(/^[^?]*/, (own) => own.replaceAll('\\', '%5C'));
}

/** A path among the server's files: whatever stands in a name is text. */
export function encodeFile(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

export async function readAtMost(
  response: Response,
  bytesMax: number,
): Promise<{ body: Uint8Array; end: BodyEnd }> {
  const reader = response.body?.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let end: BodyEnd = 'whole';
  while (reader) {
    const part = await reader.read().catch((error: unknown) => {
      if (isAbort(error)) throw error;
      return null;
    });
    if (part === null) end = 'broken';
    if (part === null || part.done) break;
    chunks.push(part.value);
    length += part.value.length;
    if (length > bytesMax) {
      end = 'cut';
      await reader.cancel();
      break;
    }
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return { body, end };
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
