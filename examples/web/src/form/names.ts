// A shape's type as WIT would write it, for the places inside a value where the server gives a schema and no type.
import type { Shape } from './shape';

const INTEGERS: Record<string, string> = {
  '-128..127': 's8',
  '0..255': 'u8',
  '-32768..32767': 's16',
  '0..65535': 'u16',
  '-2147483648..2147483647': 's32',
  '0..4294967295': 'u32',
};

export function typeName(shape: Shape): string {
  switch (shape.kind) {
    case 'integer':
      return INTEGERS[`${shape.min}..${shape.max}`] ?? `${shape.min}..${shape.max}`;
    case 'wide':
      return shape.min === 0n ? 'u64' : 's64';
    case 'option':
      return `option<${typeName(shape.inner)}>`;
    case 'list':
      return `list<${typeName(shape.item)}>`;
    case 'tuple':
      return `tuple<${shape.items.map(typeName).join(', ')}>`;
    case 'bytes':
      return 'list<u8>';
    case 'null':
      return 'nothing';
    case 'any':
      return 'JSON';
    default:
      return shape.kind;
  }
}
