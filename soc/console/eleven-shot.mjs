import { launch, open, BASE, PASSWORD, faults } from './e2e/desk.mjs';
const b = await launch();
const paths = process.argv.slice(2);
for (const [theme, locale] of [['light', 'zh-CN'], ['dark', 'en-US']]) {
  const { page } = await open(b, { theme, locale });
  await page.goto(BASE + '/login');
  await page.locator('input').first().fill('admin');
  await page.locator('input[type=password]').fill(PASSWORD);
  await page.keyboard.press('Enter');
  await page.waitForTimeout(3500);
  for (const p of paths) {
    await page.goto(BASE + p);
    await page.waitForTimeout(3000);
    await page.screenshot({ path: `/tmp/eleven-shot-${theme}-${p.replace(/[^a-z0-9]+/gi, '_')}.png`, fullPage: true });
  }
}
console.log(faults.slice(0, 10));
await b.close();
