// One place of a value as a form field: picks the control for the shape. Every control gets the same five things, and
// hands back a whole new node; nothing is kept here.
import type { ReactNode } from 'react';
import { Prose } from '../format/Prose';
import { printJson } from '../json/json';
import { type Fault, faultAt } from './check';
import { ListField, OptionField, RecordField, TupleField, VariantField } from './compounds';
import { BoolField, BytesField, EnumField, FlagsField, TextField } from './leaves';
import { typeLabel } from './names';
import { blank, type Node } from './node';
import type { Shape } from './shape';

export interface FieldProps<S extends Shape = Shape, N extends Node = Node> {
  shape: S;
  node: N;
  label: string;
  type: string;
  /** A run was tried: say what is missing, too. */
  attempted: boolean;
  onChange: (node: Node) => void;
}

export function Field(props: FieldProps) {
  const { shape, node } = props;
  const fault = visible(faultAt(shape, node), props.attempted);
  if (node.kind === 'misfit') return <Misfit {...props} value={printJson(node.value)} fault={fault} />;
  if (node.kind === 'text') return <TextField {...props} node={node} fault={fault} />;
  if (node.kind === 'bool') return <BoolField {...props} node={node} />;
  if (node.kind === 'bytes') return <BytesField {...props} node={node} fault={fault} />;
  if (shape.kind === 'enum' && node.kind === 'enum')
    return <EnumField {...props} shape={shape} node={node} />;
  if (shape.kind === 'flags' && node.kind === 'flags')
    return <FlagsField {...props} shape={shape} node={node} />;
  if (shape.kind === 'option' && node.kind === 'option') {
    return <OptionField {...props} shape={shape} node={node} />;
  }
  if (shape.kind === 'variant' && node.kind === 'variant') {
    return <VariantField {...props} shape={shape} node={node} />;
  }
  if (shape.kind === 'record' && node.kind === 'record') {
    return <RecordField {...props} shape={shape} node={node} />;
  }
  if (shape.kind === 'tuple' && node.kind === 'items')
    return <TupleField {...props} shape={shape} node={node} />;
  if (shape.kind === 'list' && node.kind === 'items')
    return <ListField {...props} shape={shape} node={node} />;
  return null;
}

export function visible(fault: Fault | null, attempted: boolean): string | null {
  if (fault === null || (fault.kind === 'missing' && !attempted)) return null;
  return fault.message;
}

export function LabelText({ label, type }: { label: string; type: string }) {
  return (
    <span className="field-label">
      <span className="field-name">{label}</span> <span className="type">{typeLabel(type)}</span>
    </span>
  );
}

/** Several controls under one name. */
export function Group({ label, type, children }: { label: string; type: string; children: ReactNode }) {
  return (
    <fieldset className="field">
      <legend>
        <LabelText label={label} type={type} />
      </legend>
      {children}
    </fieldset>
  );
}

export function FaultText({ id, text }: { id: string; text: string | null }) {
  return text === null ? null : (
    <p className="fault" id={id}>
      <Prose text={text} />
    </p>
  );
}

function Misfit({
  shape,
  label,
  type,
  value,
  fault,
  onChange,
}: FieldProps & { value: string; fault: string | null }) {
  return (
    <fieldset className="field misfit" data-fault tabIndex={-1}>
      <legend>
        <LabelText label={label} type={type} />
      </legend>
      <p className="fault">{fault !== null && <Prose text={fault} />}</p>
      <pre className="misfit-value">{value}</pre>
      <button type="button" className="small" onClick={() => onChange(blank(shape))}>
        Start {label} afresh
      </button>
    </fieldset>
  );
}
