// The controls for values that hold other values: records, tuples, lists, options, variants. Each shows its parts by
// `Field` and hands back a new node with one part changed.
import { useRef } from 'react';
import { flushSync } from 'react-dom';
import { plural } from '../format/units';
import { Field, type FieldProps, LabelText } from './Field';
import { typeName } from './names';
import { blank, type Node, newItem } from './node';
import type { Shape } from './shape';

type NodeOf<K extends Node['kind']> = Extract<Node, { kind: K }>;
type ShapeOf<K extends Shape['kind']> = Extract<Shape, { kind: K }>;

// A field for each of thousands of items is of no use to anyone, and slow; the JSON view shows them all.
const ITEMS_SHOWN_MAX = 100;

export function RecordField(props: FieldProps<ShapeOf<'record'>, NodeOf<'record'>>) {
  const { shape, node, label, type, attempted, onChange } = props;
  return (
    <fieldset className="field">
      <legend>
        <LabelText label={label} type={type} />
      </legend>
      <div className="inside">
        {shape.fields.length === 0 && <p className="quiet">No fields.</p>}
        {shape.fields.map(({ name, shape }) => (
          <Field
            key={name}
            shape={shape}
            node={node.fields[name] ?? blank(shape)}
            label={name}
            type={typeName(shape)}
            attempted={attempted}
            onChange={(field) => onChange({ kind: 'record', fields: { ...node.fields, [name]: field } })}
          />
        ))}
      </div>
    </fieldset>
  );
}

export function TupleField(props: FieldProps<ShapeOf<'tuple'>, NodeOf<'items'>>) {
  const { shape, node, label, type, attempted, onChange } = props;
  return (
    <fieldset className="field">
      <legend>
        <LabelText label={label} type={type} />
      </legend>
      <div className="inside">
        {node.items.map((item, at) => {
          const inner = shape.items[at];
          return inner ? (
            <Field
              key={item.id}
              shape={inner}
              node={item.node}
              label={`${label} ${at + 1}`}
              type={typeName(inner)}
              attempted={attempted}
              onChange={(changed) => onChange(replaceItem(node, item.id, changed))}
            />
          ) : null;
        })}
      </div>
    </fieldset>
  );
}

export function ListField(props: FieldProps<ShapeOf<'list'>, NodeOf<'items'>>) {
  const { shape, node, label, type, attempted, onChange } = props;
  const box = useRef<HTMLFieldSetElement>(null);
  const more = node.items.length - ITEMS_SHOWN_MAX;
  // The focus follows the change: into what was added, else to the button that adds.
  const add = () => {
    flushSync(() => onChange({ kind: 'items', items: [...node.items, newItem(blank(shape.item))] }));
    const last = [...(box.current?.querySelectorAll(':scope > .inside > ol > li') ?? [])].at(-1);
    last?.querySelector<HTMLElement>('input, textarea, select, button')?.focus();
  };
  const remove = (id: number) => {
    flushSync(() => onChange({ kind: 'items', items: node.items.filter((item) => item.id !== id) }));
    box.current?.querySelector<HTMLElement>(':scope > .inside > .add')?.focus();
  };
  return (
    <fieldset className="field" ref={box}>
      <legend>
        <LabelText label={label} type={type} />
      </legend>
      <div className="inside">
        <ol className="items">
          {node.items.slice(0, ITEMS_SHOWN_MAX).map((item, at) => (
            <li key={item.id}>
              <Field
                shape={shape.item}
                node={item.node}
                label={`${label} ${at + 1}`}
                type={typeName(shape.item)}
                attempted={attempted}
                onChange={(changed) => onChange(replaceItem(node, item.id, changed))}
              />
              <button
                type="button"
                className="small icon-only"
                aria-label={`Remove ${label} ${at + 1}`}
                title="Remove"
                onClick={() => remove(item.id)}
              >
                ×
              </button>
            </li>
          ))}
        </ol>
        {more > 0 && <p className="quiet">{plural(more, 'more item')}: edit them as JSON.</p>}
        {more < 0 && (
          <button type="button" className="small add" onClick={add}>
            Add to {label}
          </button>
        )}
      </div>
    </fieldset>
  );
}

export function OptionField(props: FieldProps<ShapeOf<'option'>, NodeOf<'option'>>) {
  const { shape, node, label, type, attempted, onChange } = props;
  return (
    <div className="field option">
      <label className="check">
        <input
          type="checkbox"
          checked={node.set}
          onChange={(event) => onChange({ ...node, set: event.target.checked })}
        />
        <LabelText label={label} type={type} />
        {!node.set && <span className="check-value">none</span>}
      </label>
      {node.set && (
        <div className="inside">
          <Field
            shape={shape.inner}
            node={node.inner}
            label={`${label}, given`}
            type={typeName(shape.inner)}
            attempted={attempted}
            onChange={(inner) => onChange({ ...node, inner })}
          />
        </div>
      )}
    </div>
  );
}

export function VariantField(props: FieldProps<ShapeOf<'variant'>, NodeOf<'variant'>>) {
  const { shape, node, label, type, attempted, onChange } = props;
  const payload = shape.cases.find(({ name }) => name === node.name)?.payload ?? null;
  const inner = node.payloads[node.name];
  return (
    <fieldset className="field">
      <legend>
        <LabelText label={label} type={type} />
      </legend>
      <select
        aria-label={`Case of ${label}`}
        value={node.name}
        onChange={(event) => onChange({ ...node, name: event.target.value })}
      >
        {shape.cases.map(({ name }) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      {payload && inner && payload.kind !== 'null' && (
        <div className="inside">
          <Field
            shape={payload}
            node={inner}
            label={node.name}
            type={typeName(payload)}
            attempted={attempted}
            onChange={(changed) =>
              onChange({ ...node, payloads: { ...node.payloads, [node.name]: changed } })
            }
          />
        </div>
      )}
    </fieldset>
  );
}

function replaceItem(node: NodeOf<'items'>, id: number, changed: Node): Node {
  return { kind: 'items', items: node.items.map((item) => (item.id === id ? { id, node: changed } : item)) };
}
