// Numbers for people: durations, sizes, counts, each with its unit and three figures at most. Pure.

const NO_BREAK = '\u00a0';

export function duration(microseconds: number): string {
  if (microseconds < 1000) return `${figures(microseconds)}${NO_BREAK}µs`;
  if (microseconds < 1_000_000) return `${figures(microseconds / 1000)}${NO_BREAK}ms`;
  if (microseconds < 60_000_000) return `${figures(microseconds / 1_000_000)}${NO_BREAK}s`;
  const seconds = Math.round(microseconds / 1_000_000);
  return `${Math.floor(seconds / 60)}${NO_BREAK}min ${seconds % 60}${NO_BREAK}s`;
}

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${figures(value)}${NO_BREAK}${units[unit]}`;
}

/** Digits in groups of three, by thin spaces: no language's comma or point. */
export function count(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, '\u2009');
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A limit's number in its unit, as the outcome gives them: 1000 "ms", 65536 "bytes", 10 "units". */
export function amount(value: number, unit: string): string {
  if (unit === 'ms') return duration(value * 1000);
  if (unit === 'bytes') return bytes(value);
  return unit === '' ? count(value) : `${count(value)} ${unit}`;
}

export function clock(time: number): string {
  return new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
}

/** A moment of the server's, in the visitor's own words and zone; what is no moment is left out. */
export function day(time: string | number): string {
  const date = new Date(time);
  return Number.isNaN(date.getTime())
    ? ''
    : date.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
}

/** `sha256:` and the first eight digits: enough to tell two modules apart by eye. */
export function shortId(id: string): string {
  return /^sha256:[0-9a-f]{64}$/.test(id) ? id.slice(0, 15) : id;
}

function figures(value: number): string {
  if (value >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}
