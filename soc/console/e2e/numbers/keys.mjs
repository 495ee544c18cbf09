/** The keys of lists: j, k, enter, / and ? on every page that has a list, as docs/console.md says. */

/** The row that the keys stand on, by its text. */
const row = () => {
  const at = document.querySelector('main .line.cursor, main tr.on, main tr:focus, main .line:focus, main .cursor, main .on[data-id], main [aria-selected=true][data-id]');
  return at ? at.textContent.replace(/\s+/g, ' ').slice(0, 80) : '';
};

/** Whether the page as it stands has a list, and what is wrong with its keys, '' for nothing. */
export async function keysOf(page) {
  const list = await page.evaluate(() => {
    const lists = [...document.querySelectorAll('main table.data > tbody')].filter((b) => b.offsetParent !== null).map((b) => [...b.children].filter((r) => r.querySelector('a[href]:not([download]), button.link') || r.classList.contains('go')).length);
    // The first that has rows is the one that is walked; one row leads nowhere.
    return (lists.find((n) => n > 0) ?? 0) > 1;
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
    // How long ago something was goes on while the keys are pressed.
    const at = async () => (await page.evaluate(row))?.replace(/\d+\s*(?:秒|分钟|小时|天)前|现在/g, '');
    const first = await at();
    await page.keyboard.press('j');
    const second = await at();
    await page.keyboard.press('k');
    const again = await at();
    if (!first) wrong.push('j stands on no row');
    else if (second === first) wrong.push(`j does not go on from ${first}`);
    else if (again !== first) wrong.push(`k does not go back to ${first}, but to ${again}`);
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
