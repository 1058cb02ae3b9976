// The colours of the page: as the system has them, or as they were chosen.
import { expect, test } from 'vitest';
import { Visit } from './browser';

const background = (visit: Visit) =>
  visit.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const lightness = (color: string) => Math.max(...(color.match(/\d+/g) ?? []).slice(0, 3).map(Number));

test('they are chosen, and the choice outlives a reload', async () => {
  const visit = await Visit.open({ colorScheme: 'dark' });
  expect(lightness(await background(visit))).toBeLessThan(60);
  await visit.page.getByRole('button', { name: 'Colours: system' }).click();
  expect(lightness(await background(visit))).toBeGreaterThan(200);
  await visit.page.reload();
  await visit.page.getByRole('button', { name: 'Colours: light' }).waitFor();
  expect(lightness(await background(visit))).toBeGreaterThan(200);
  await visit.close();
});
