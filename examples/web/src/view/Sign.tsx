// The signs of how an import is served: told apart by their form, not by their colour alone.
import type { GroupId } from '../state/grants';

const PATHS: Record<GroupId, string> = {
  broken: 'M8 4v5m0 2.6v.4',
  needed: 'M8 4v5m0 2.6v.4',
  unserved: 'm5.2 5.2 5.6 5.6m0-5.6-5.6 5.6',
  granted: 'm4.6 8.3 2.4 2.4 4.4-5',
  closed: 'M4.8 8h6.4',
  provided: 'M7.4 8a.6.6 0 1 0 1.2 0 .6.6 0 1 0-1.2 0',
};

export function Sign({ of: id }: { of: GroupId }) {
  return (
    <svg className="sign" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <circle cx="8" cy="8" r="7" />
      <path d={PATHS[id]} />
    </svg>
  );
}
