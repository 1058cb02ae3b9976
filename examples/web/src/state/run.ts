// One run of this visit: what was asked, and what became of it. Everything that a list, a badge or a screen reader
// says about a run is derived here. Pure.
import type { Problem } from '../api/problem';
import type { Export, HandlerResponse, Outcome } from '../api/types';
import { argsJson, paramsOf } from '../form/args';
import { amount, duration } from '../format/units';
import { printFlat } from '../json/json';
import type { CallDraft } from './draft';

export type Result =
  | { state: 'running' }
  | { state: 'outcome'; outcome: Outcome }
  | { state: 'response'; response: HandlerResponse }
  | { state: 'problem'; problem: Problem }
  | { state: 'stopped' };

export interface Run {
  id: number;
  ref: string;
  label: string;
  target: Export;
  /** What was typed, so that it can be put back exactly. */
  draft: CallDraft;
  startedAt: number;
  endedAt: number | null;
  result: Result;
}

export type Tone = 'good' | 'warn' | 'bad' | 'limit' | 'quiet';

export function verdictOf({ result }: Run): { word: string; tone: Tone } {
  switch (result.state) {
    case 'running':
      return { word: 'Running', tone: 'quiet' };
    case 'stopped':
      return { word: 'Stopped', tone: 'quiet' };
    case 'problem':
      return { word: UNHEARD.includes(result.problem.kind) ? 'No answer' : 'Not run', tone: 'bad' };
    case 'response': {
      const { status } = result.response;
      return { word: String(status), tone: status >= 500 ? 'bad' : status >= 400 ? 'warn' : 'good' };
    }
    case 'outcome':
      return ENDINGS[result.outcome.ending.kind];
  }
}

// It may have run: the answer did not arrive.
const UNHEARD = ['unreachable', 'broken_off'];

const ENDINGS: Record<Outcome['ending']['kind'], { word: string; tone: Tone }> = {
  returned: { word: 'Returned', tone: 'good' },
  failed: { word: 'Failed', tone: 'warn' },
  trapped: { word: 'Trapped', tone: 'bad' },
  exhausted: { word: 'Limit met', tone: 'limit' },
  cancelled: { word: 'Cancelled', tone: 'quiet' },
};

/** Wall time in microseconds: the server's own where it says, else as this page saw it. */
export function wallOf(run: Run): number | null {
  const measured = run.result.state === 'outcome' ? run.result.outcome.usage.numbers.wall_us : undefined;
  if (measured !== undefined) return measured;
  return run.endedAt === null ? null : Math.max(0, run.endedAt - run.startedAt) * 1000;
}

/** The call as one would write it, cut short where it is long. */
export function callText(run: Run): string {
  return clip(wholeCall(run));
}

function wholeCall({ target, draft }: Run): string {
  const name = target.name;
  if (target.kind === 'function') {
    const args = argsJson(paramsOf(target.params), draft.args);
    return `${name}(${Array.isArray(args) ? args.map(printFlat).join(', ') : printFlat(args)})`;
  }
  if (target.kind === 'http') return `${draft.http.method} ${draft.http.path}`;
  return [name, ...draft.cli.map(({ text }) => text)].join(' ');
}

/** One sentence for the live region. */
export function sentenceOf(run: Run): string {
  const { result, target } = run;
  const wall = wallOf(run);
  const took = wall === null ? '' : ` in ${duration(wall)}`;
  switch (result.state) {
    case 'running':
      return `Running ${target.name}`;
    case 'stopped':
      return `${target.name} was stopped`;
    case 'problem':
      return `${target.name}: ${verdictOf(run).word.toLowerCase()}. ${result.problem.title}. ${result.problem.detail}`;
    case 'response':
      return `${target.name} answered ${result.response.status}${took}`;
    case 'outcome':
      return `${target.name} ${endingSentence(result.outcome)}${took}`;
  }
}

function endingSentence({ ending }: Outcome): string {
  switch (ending.kind) {
    case 'returned':
      return `returned ${clip(printFlat(ending.value))}`;
    case 'failed':
      return `failed with ${ending.exit_code === null ? ending.code : `exit code ${ending.exit_code}`}`;
    case 'trapped':
      return `trapped: ${ending.message}`;
    case 'exhausted':
      return `met its limit ${ending.limit} of ${amount(ending.allowed, ending.unit)}`;
    case 'cancelled':
      return 'was cancelled';
  }
}

function clip(text: string): string {
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
