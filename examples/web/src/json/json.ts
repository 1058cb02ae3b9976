// JSON without loss. `JSON.parse` rounds integers beyond 2^53, which a 64-bit argument may well be: here they become
// bigints, and are printed again digit for digit. Errors name the line and column, for the person who is typing.

export type Json = null | boolean | number | bigint | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

export class JsonError extends Error {
  constructor(
    message: string,
    readonly line: number,
    readonly column: number,
  ) {
    super(`${message} (line ${line}, column ${column})`);
    this.name = 'JsonError';
  }
}

// Deeper than any type that a module can declare; bounds the recursion of what is pasted.
const DEPTH_MAX = 200;

export function parseJson(text: string): Json {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.space();
  if (!reader.atEnd()) throw reader.error('expected the end of the text');
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Pretty text, two spaces a level; what fits within `width` stays on one line. */
export function printJson(value: Json, width = 72, indent = ''): string {
  const flat = printFlat(value);
  if (flat.length + indent.length <= width || value === null || typeof value !== 'object') return flat;
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    const items = value.map((item) => inner + printJson(item, width, inner));
    return `[\n${items.join(',\n')}\n${indent}]`;
  }
  const fields = Object.entries(value).map(
    ([key, item]) => `${inner}${printText(key)}: ${printJson(item, width, inner)}`,
  );
  return `{\n${fields.join(',\n')}\n${indent}}`;
}

/** One line, as it is sent. */
export function printFlat(value: Json): string {
  if (typeof value === 'bigint') return value.toString();
  if (Object.is(value, -0)) return '-0';
  if (typeof value === 'string') return printText(value);
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(printFlat).join(', ')}]`;
  const fields = Object.entries(value).map(([key, item]) => `${printText(key)}: ${printFlat(item)}`);
  return fields.length === 0 ? '{}' : `{ ${fields.join(', ')} }`;
}

/** Marks that turn the direction of writing are escaped: else a text shows other than it is. */
function printText(text: string): string {
  const escaped = (mark: string) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(text).replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, escaped);
}

class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  atEnd(): boolean {
    return this.at >= this.text.length;
  }

  space(): void {
    while (/[ \t\r\n]/.test(this.text[this.at] ?? '')) this.at += 1;
  }

  error(message: string): JsonError {
    const before = this.text.slice(0, this.at).split('\n');
    return new JsonError(message, before.length, (before.at(-1)?.length ?? 0) + 1);
  }

  value(depth: number): Json {
    if (depth > DEPTH_MAX) throw this.error(`nested deeper than ${DEPTH_MAX} levels`);
    this.space();
    const next = this.text[this.at];
    if (next === undefined) throw this.error('expected a value, found the end of the text');
    if (next === '{') return this.object(depth);
    if (next === '[') return this.array(depth);
    if (next === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  private object(depth: number): JsonObject {
    // No prototype: a key named `__proto__` is a key like any other.
    const fields: JsonObject = Object.create(null);
    this.at += 1;
    this.space();
    if (this.take('}')) return fields;
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') throw this.error('expected a key in double quotes');
      const key = this.string();
      this.space();
      if (!this.take(':')) throw this.error('expected `:` after the key');
      fields[key] = this.value(depth + 1);
      this.space();
      if (this.take('}')) return fields;
      if (!this.take(',')) throw this.error('expected `,` or `}`');
    }
  }

  private array(depth: number): Json[] {
    const items: Json[] = [];
    this.at += 1;
    this.space();
    if (this.take(']')) return items;
    for (;;) {
      items.push(this.value(depth + 1));
      this.space();
      if (this.take(']')) return items;
      if (!this.take(',')) throw this.error('expected `,` or `]`');
    }
  }

  private string(): string {
    const match = this.match(/"(?:[^"\\]|\\.)*"/y);
    if (match === null) throw this.error('this text has no closing quote');
    try {
      return JSON.parse(match) as string;
    } catch {
      this.at -= match.length;
      throw this.error('this text has a bad escape or a raw control character');
    }
  }

  private number(): number | bigint {
    const match = this.match(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y);
    if (match === null) throw this.error(`expected a value, found \`${this.text[this.at]}\``);
    const value = Number(match);
    return /^-?[0-9]+$/.test(match) && !Number.isSafeInteger(value) ? BigInt(match) : value;
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match === null) return null;
    this.at += match[0].length;
    return match[0];
  }

  private take(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at += 1;
    return true;
  }
}

const WORDS: [string, Json][] = [
  ['null', null],
  ['true', true],
  ['false', false],
];
