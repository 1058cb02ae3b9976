// The controls for values that have nothing inside: numbers and texts, yes and no, one or several of some names, bytes.
// Numbers are text fields: a browser's number field drops what it cannot read, and rounds 64-bit integers.
import { type ChangeEvent, useId } from 'react';
import { bytes } from '../format/units';
import { FaultText, type FieldProps, Group, LabelText } from './Field';
import { type Node, toBase64 } from './node';
import type { Shape } from './shape';

type NodeOf<K extends Node['kind']> = Extract<Node, { kind: K }>;
type ShapeOf<K extends Shape['kind']> = Extract<Shape, { kind: K }>;
interface Faulty {
  fault: string | null;
}

export function TextField({
  shape,
  node,
  label,
  type,
  fault,
  onChange,
}: FieldProps<Shape, NodeOf<'text'>> & Faulty) {
  const id = useId();
  const given = {
    id,
    value: node.text,
    'aria-invalid': fault !== null,
    'aria-describedby': fault === null ? undefined : `${id}-fault`,
    autoComplete: 'off',
    spellCheck: false,
    onChange: (event: ChangeEvent<HTMLInputElement | HTMLTextAreaElement>) =>
      onChange({ kind: 'text', text: event.target.value }),
  };
  const long = shape.kind === 'string' || shape.kind === 'any';
  return (
    <div className="field">
      <label htmlFor={id}>
        <LabelText label={label} type={type} />
      </label>
      {long ? (
        <textarea {...given} rows={1} className={shape.kind === 'any' ? 'grow mono' : 'grow'} />
      ) : (
        <input
          {...given}
          type="text"
          className={shape.kind === 'char' ? 'char' : 'mono'}
          inputMode={INPUT_MODES[shape.kind]}
          placeholder={placeholderOf(shape)}
          list={shape.kind === 'float' ? `${id}-special` : undefined}
        />
      )}
      {shape.kind === 'float' && (
        <datalist id={`${id}-special`}>
          <option value="NaN" />
          <option value="Infinity" />
          <option value="-Infinity" />
        </datalist>
      )}
      <FaultText id={`${id}-fault`} text={fault} />
    </div>
  );
}

// Not `numeric` for signed integers: some phones' numeric keyboards have no minus.
const INPUT_MODES: Partial<Record<Shape['kind'], 'text' | 'decimal'>> = { float: 'decimal' };

function placeholderOf(shape: Shape): string | undefined {
  if (shape.kind === 'integer') return `${shape.min} to ${shape.max}`;
  if (shape.kind === 'wide') return shape.min === 0n ? '0 to 2⁶⁴−1' : '−2⁶³ to 2⁶³−1';
  return shape.kind === 'float' ? 'a number, NaN, Infinity' : undefined;
}

export function BoolField({ node, label, type, onChange }: FieldProps<Shape, NodeOf<'bool'>>) {
  return (
    <div className="field">
      <label className="check">
        <input
          type="checkbox"
          checked={node.value}
          onChange={(event) => onChange({ kind: 'bool', value: event.target.checked })}
        />
        <LabelText label={label} type={type} />
        <output className="check-value">{node.value ? 'true' : 'false'}</output>
      </label>
    </div>
  );
}

export function EnumField({
  shape,
  node,
  label,
  type,
  onChange,
}: FieldProps<ShapeOf<'enum'>, NodeOf<'enum'>>) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>
        <LabelText label={label} type={type} />
      </label>
      <select
        id={id}
        value={node.name}
        onChange={(event) => onChange({ kind: 'enum', name: event.target.value })}
      >
        {shape.names.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </div>
  );
}

export function FlagsField({
  shape,
  node,
  label,
  type,
  onChange,
}: FieldProps<ShapeOf<'flags'>, NodeOf<'flags'>>) {
  const toggle = (name: string, on: boolean) => {
    const names = shape.names.filter((other) => (other === name ? on : node.names.includes(other)));
    onChange({ kind: 'flags', names });
  };
  return (
    <Group label={label} type={type}>
      <div className="flags">
        {shape.names.map((name) => (
          <label className="check" key={name}>
            <input
              type="checkbox"
              checked={node.names.includes(name)}
              onChange={(event) => toggle(name, event.target.checked)}
            />
            {name}
          </label>
        ))}
      </div>
    </Group>
  );
}

export function BytesField({
  node,
  label,
  type,
  fault,
  onChange,
}: FieldProps<Shape, NodeOf<'bytes'>> & Faulty) {
  const id = useId();
  const choose = async (event: ChangeEvent<HTMLInputElement>) => {
    const file = event.target.files?.[0];
    if (!file) return;
    const base64 = toBase64(new Uint8Array(await file.arrayBuffer()));
    onChange({ kind: 'bytes', base64, file: file.name });
  };
  const dense = node.base64.replace(/\s+/g, '');
  const length = Math.floor((dense.replace(/=+$/, '').length * 3) / 4);
  return (
    <Group label={label} type={type}>
      <label htmlFor={id} className="sub">
        Base64{' '}
        {fault === null && (
          <span className="quiet">
            ({node.file ?? 'typed'}, {bytes(length)})
          </span>
        )}
      </label>
      <textarea
        id={id}
        rows={1}
        className="grow mono"
        value={node.base64}
        spellCheck={false}
        aria-invalid={fault !== null}
        aria-describedby={fault === null ? undefined : `${id}-fault`}
        onChange={(event) => onChange({ kind: 'bytes', base64: event.target.value, file: null })}
      />
      <FaultText id={`${id}-fault`} text={fault} />
      <label className="button small file">
        Take a file<span className="hidden"> for {label}</span>
        <input type="file" className="hidden" onChange={choose} />
      </label>
    </Group>
  );
}
