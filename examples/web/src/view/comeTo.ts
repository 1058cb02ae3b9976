// Where the page is narrow its parts stand below each other: what was asked for may be out of sight.

// Less than this of it at the lower edge is not seen as an answer.
const IN_SIGHT_MIN = 120;

export function comeTo(element: Element | null | undefined): void {
  if (!element) return;
  const { top, bottom } = element.getBoundingClientRect();
  if (top > innerHeight - IN_SIGHT_MIN || bottom < 0) element.scrollIntoView({ block: 'start' });
}
