import { expect, test } from 'vitest';
import { typeAt, typeLabel } from './names';

const POINT = 'record { x: f32, y: f64 }';
const SHAPE = `variant { dot, circle(f64), polygon(list<${POINT}>), pair(tuple<u8, s64>) }`;

test('a part has the type that its place or its name gives it', () => {
  const cases: [string, string | number, string][] = [
    [POINT, 'x', 'f32'],
    [POINT, 'y', 'f64'],
    [`record { at: ${POINT}, name: string }`, 'at', POINT],
    [`record { at: ${POINT}, name: string }`, 'name', 'string'],
    [SHAPE, 'circle', 'f64'],
    [SHAPE, 'polygon', `list<${POINT}>`],
    [SHAPE, 'pair', 'tuple<u8, s64>'],
    ['result<u32, string>', 'ok', 'u32'],
    ['result<_, string>', 'err', 'string'],
    ['tuple<bool, list<u8>, string>', 1, 'list<u8>'],
    ['option<option<u32>>', 0, 'option<u32>'],
    ['list<f32, 4>', 3, 'f32'],
    ['map<string, f32>', 0, 'tuple<string, f32>'],
    ['s32', 0, ''],
    [POINT, 'z', ''],
  ];
  for (const [type, part, inner] of cases)
    expect([type, part, typeAt(type, part)]).toEqual([type, part, inner]);
});

test('a short type is said in full, of a long one its kind', () => {
  const cases: [string, string][] = [
    ['tuple<bool, s64, string>', 'tuple<bool, s64, string>'],
    [SHAPE, 'variant'],
    [`list<${SHAPE}>`, 'list<variant>'],
    [`option<list<${SHAPE}>>`, 'option<list<variant>>'],
    [`result<${POINT}, ${POINT}>`, 'result'],
  ];
  for (const [type, label] of cases) expect(typeLabel(type)).toBe(label);
});
