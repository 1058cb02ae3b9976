// A WIT type as the server writes it, taken apart: what each part inside of it is, and a few words for a long one.
// The schema says which values are allowed; only the type's own text tells `f32` from `f64` and `result` from `variant`.

// A longer type stands in full among the exports; beside a field, its kind is enough.
const LABEL_MAX = 36;

export function typeLabel(type: string): string {
  if (type.length <= LABEL_MAX) return type;
  const { head } = apart(type);
  return head === 'list' || head === 'option' ? `${head}<${typeLabel(typeAt(type, 0))}>` : head;
}

/** The type of a record's field or a variant's case by name, of the others' parts by place; empty where there is none. */
export function typeAt(type: string, part: string | number): string {
  const { head, parts } = apart(type);
  const [first = '', second = ''] = parts;
  switch (head) {
    case 'record':
      return parts.find((field) => field.startsWith(`${part}: `))?.slice(`${part}: `.length) ?? '';
    case 'variant':
      return parts.find((one) => one.startsWith(`${part}(`))?.slice(`${part}(`.length, -1) ?? '';
    case 'result':
      return part === 'ok' ? first : second;
    case 'map':
      return `tuple<${first}, ${second}>`;
    case 'tuple':
      return parts[Number(part)] ?? '';
    default:
      // A list of a fixed length has the length for a second part.
      return first;
  }
}

/** `list<record { x: f64 }>` is the head `list` and the one part `record { x: f64 }`. */
function apart(type: string): { head: string; parts: string[] } {
  const [, head = type, body = ''] = /^(\w+) ?[<{] ?(.*?) ?[>}]$/s.exec(type) ?? [];
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let at = 0; at < body.length; at += 1) {
    const character = body.charAt(at);
    if ('<{('.includes(character)) depth += 1;
    if ('>})'.includes(character)) depth -= 1;
    if (depth > 0 || character !== ',') continue;
    parts.push(body.slice(from, at).trim());
    from = at + 1;
  }
  parts.push(body.slice(from).trim());
  return { head, parts };
}
