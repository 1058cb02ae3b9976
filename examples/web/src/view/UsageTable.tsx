// What a call cost: the numbers of its usage with their units, and what each capability carried.
import type { Usage } from '../api/types';
import { bytes, count, duration } from '../format/units';

const NAMES: Record<string, string> = {
  wall_us: 'Wall time',
  guest_us: 'In the module',
  host_us: 'In the host',
  compile_us: 'Compiling',
  instantiate_us: 'Instantiating',
  memory_peak_bytes: 'Peak memory',
  fuel: 'Fuel',
  host_calls: 'Host calls',
  calls: 'Calls',
  bytes_in: 'In',
  bytes_out: 'Out',
};

const ORDER = Object.keys(NAMES);

export function UsageTable({ usage }: { usage: Usage }) {
  const capabilities = Object.entries(usage.capabilities);
  return (
    <section className="block" aria-label="Cost">
      <table className="usage">
        <caption>Cost</caption>
        <tbody>
          {sorted(usage.numbers).map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{nameOf(name)}</th>
              <td>{amountOf(name, value)}</td>
            </tr>
          ))}
          {capabilities.map(([id, numbers]) => (
            <tr key={id}>
              <th scope="row">
                <code>{id}</code>
              </th>
              <td>
                {sorted(numbers)
                  .map(([name, value]) => `${nameOf(name).toLowerCase()} ${amountOf(name, value)}`)
                  .join(', ')}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function sorted(numbers: Record<string, number>): [string, number][] {
  const place = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return Object.entries(numbers).sort(([one], [other]) => place(one) - place(other));
}

function nameOf(name: string): string {
  return NAMES[name] ?? name.replace(/_(us|bytes)$/, '').replaceAll('_', ' ');
}

function amountOf(name: string, value: number): string {
  if (name.endsWith('_us')) return duration(value);
  if (/(^|_)bytes(_|$)/.test(name)) return bytes(value);
  return count(value);
}
