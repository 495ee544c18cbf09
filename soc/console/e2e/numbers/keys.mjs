/** The keys of lists: j, k, enter, / and ? on every page that has a list, as docs/console.md says. */

/** The row that the keys stand on, by its id or else by its text. How long ago something was goes on while the keys are pressed. */
const row = () => {
  const at = document.activeElement?.closest('main tr, main .line') ?? document.querySelector('main .line.cursor, main tr.on, main tr:focus, main .line:focus, main .cursor, main .on[data-id], main [aria-selected=true][data-id]');
  return at ? at.dataset.id ?? at.textContent.replace(/\d+\s*(?:秒|分钟|小时|天)[前后]|现在/g, '').replace(/\s+/g, ' ').trim().slice(0, 80) : '';
};
const DIALOG = '.ant-modal-wrap:not([style*="display: none"]), .ant-drawer-open, aside.preview';

/** Presses enter on the row that the keys stand on: it opens, and who comes back stands on it. Answers what is wrong. */
async function enterOf(page, stood, settled) {
  const from = page.url();
  const before = await page.evaluate(() => document.querySelector('main').innerText.length);
  const dialogs = await page.locator(DIALOG).count();
  await page.keyboard.press('Enter');
  const opened = await page
    .waitForFunction(([from, before, dialogs, DIALOG]) => location.href !== from || document.querySelectorAll(DIALOG).length > dialogs || document.querySelector('main').innerText.length !== before, [from, before, dialogs, DIALOG], { timeout: 1500 })
    .then(() => true, () => false);
  if (!opened) {
    // Where the keys choose what stands beside the list, it is open already.
    const beside = await page.evaluate(() => [...new URLSearchParams(location.search).values()].includes(document.querySelector('main tr.on')?.dataset.id ?? '\0'));
    return beside ? '' : `enter opens nothing from ${stood}`;
  }
  const path = (url) => new URL(url).pathname;
  if (path(page.url()) !== path(from)) {
    await settled(page);
    await page.goBack();
  } else if ((await page.locator(DIALOG).count()) > dialogs) {
    await page.keyboard.press('Escape');
    await page.waitForFunction(([dialogs, DIALOG]) => document.querySelectorAll(DIALOG).length <= dialogs, [dialogs, DIALOG], { timeout: 3000 }).catch(() => {});
  }
  // A query of the address alone: what was opened stands beside the list.
  let stands = await page.evaluate(row);
  for (const end = Date.now() + 5000; stands !== stood && Date.now() < end; stands = await page.evaluate(row)) await page.waitForTimeout(60);
  return stands === stood ? '' : `who comes back from ${stood} stands on ${stands || 'no row'}`;
}

/** Whether the page as it stands has a list, and what is wrong with its keys, '' for nothing. */
export async function keysOf(page, settled) {
  const list = await page.evaluate(() => {
    const lists = [...document.querySelectorAll('main table.data > tbody')].filter((b) => b.offsetParent !== null).map((b) => [...b.children].filter((r) => r.querySelector('a[href]:not([download]), button.link') || r.classList.contains('go')).length);
    // The first that has rows is the one that is walked; one row leads nowhere.
    const first = lists.find((n) => n > 0) ?? 0;
    return first > 1 || (first === 0 && [...document.querySelectorAll('main .line[role=row][data-id]')].filter((r) => r.offsetParent !== null).length > 1);
  });
  await page.evaluate(() => document.activeElement?.blur());
  await page.keyboard.press('?');
  const help = page.getByRole('dialog').filter({ hasText: '键盘快捷键' });
  await help.waitFor({ timeout: 5000 });
  const says = (await help.innerText()).replace(/\s+/g, ' ');
  await help.locator('.ant-modal-close').click();
  await help.waitFor({ state: 'hidden' });
  const wrong = [];
  if (!/在本页|任何地方/.test(says)) wrong.push('? shows no keys');
  if (list) {
    if (!says.includes('下一条 / 上一条')) wrong.push(`? does not tell of j and k: ${says}`);
    await page.keyboard.press('j');
    const at = () => page.evaluate(row);
    const first = await at();
    await page.keyboard.press('j');
    const second = await at();
    await page.keyboard.press('k');
    const again = await at();
    if (!first) wrong.push('j stands on no row');
    else if (second === first) wrong.push(`j does not go on from ${first}`);
    else if (again !== first) wrong.push(`k does not go back to ${first}, but to ${again}`);
    else if (!says.includes('打开')) wrong.push(`? does not tell of enter: ${says}`);
    else {
      const fault = await enterOf(page, again, settled);
      if (fault) wrong.push(fault);
    }
  }
  if (says.includes('到筛选框')) {
    await page.keyboard.press('/');
    await page.waitForTimeout(30);
    const typing = await page.evaluate(() => /^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName ?? '') || document.activeElement?.isContentEditable === true);
    if (!typing) wrong.push('/ leads to no field');
    await page.evaluate(() => document.activeElement?.blur());
  }
  return { list, wrong: wrong.join('; ') };
}
