// The controls for values that hold other values: records, tuples, lists, options, variants. Each shows its parts by
// `Field` and hands back a new node with one part changed.
import { plural } from '../format/units';
import { Field, type FieldProps, Group, LabelText } from './Field';
import { typeAt } from './names';
import { blank, type Item, type Node, newItem } from './node';
import { Rows } from './Rows';
import type { Shape } from './shape';

type NodeOf<K extends Node['kind']> = Extract<Node, { kind: K }>;
type ShapeOf<K extends Shape['kind']> = Extract<Shape, { kind: K }>;

// A field for each of thousands of items is of no use to anyone, and slow; the JSON view shows them all.
const ITEMS_SHOWN_MAX = 100;

export function RecordField(props: FieldProps<ShapeOf<'record'>, NodeOf<'record'>>) {
  const { shape, node, label, type, attempted, onChange } = props;
  return (
    <Group label={label} type={type}>
      <div className="inside">
        {shape.fields.length === 0 && <p className="quiet">No fields.</p>}
        {shape.fields.map(({ name, shape }) => (
          <Field
            key={name}
            shape={shape}
            node={node.fields[name] ?? blank(shape)}
            label={name}
            type={typeAt(type, name)}
            attempted={attempted}
            onChange={(field) => onChange({ kind: 'record', fields: { ...node.fields, [name]: field } })}
          />
        ))}
      </div>
    </Group>
  );
}

export function TupleField(props: FieldProps<ShapeOf<'tuple'>, NodeOf<'items'>>) {
  const { shape, node, label, type, attempted, onChange } = props;
  return (
    <Group label={label} type={type}>
      <div className="inside">
        {node.items.map((item, at) => {
          const inner = shape.items[at];
          return inner ? (
            <Field
              key={item.id}
              shape={inner}
              node={item.node}
              label={`${label} ${at + 1}`}
              type={typeAt(type, at)}
              attempted={attempted}
              onChange={(changed) => onChange(replaceItem(node, item.id, changed))}
            />
          ) : null;
        })}
      </div>
    </Group>
  );
}

export function ListField(props: FieldProps<ShapeOf<'list'>, NodeOf<'items'>>) {
  const { shape, node, label, type, attempted, onChange } = props;
  const change = (items: Item[]) => onChange({ kind: 'items', items });
  const more = node.items.length - ITEMS_SHOWN_MAX;
  return (
    <Group label={label} type={type}>
      <div className="inside">
        <Rows
          rows={node.items.slice(0, ITEMS_SHOWN_MAX)}
          noun={label}
          addText={`Add to ${label}`}
          className="items"
          onAdd={more < 0 ? () => change([...node.items, newItem(blank(shape.item))]) : undefined}
          onRemove={(id) => change(node.items.filter((item) => item.id !== id))}
        >
          {(item, at) => (
            <Field
              shape={shape.item}
              node={item.node}
              label={`${label} ${at + 1}`}
              type={typeAt(type, at)}
              attempted={attempted}
              onChange={(changed) => onChange(replaceItem(node, item.id, changed))}
            />
          )}
        </Rows>
        {more > 0 && <p className="quiet">{plural(more, 'more item')}: edit them as JSON.</p>}
      </div>
    </Group>
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
            type={typeAt(type, 0)}
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
    <Group label={label} type={type}>
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
            type={typeAt(type, node.name)}
            attempted={attempted}
            onChange={(changed) =>
              onChange({ ...node, payloads: { ...node.payloads, [node.name]: changed } })
            }
          />
        </div>
      )}
    </Group>
  );
}

function replaceItem(node: NodeOf<'items'>, id: number, changed: Node): Node {
  return { kind: 'items', items: node.items.map((item) => (item.id === id ? { id, node: changed } : item)) };
}
