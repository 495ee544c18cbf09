/**
 * The CMDB in real Chromium: from the home's figures to their lists, a filter
 * built by hand and one that cannot be read, a form with a mistake, two who edit
 * one item, a bulk edit and its undo, relations, impact, the key path, a
 * deletion and the way back, a topology that is drawn, grown, saved and found
 * again, a change of the model with its preview and undo; English and dark.
 *
 * Environment: as for desk.mjs.
 */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { PASSWORD, faults, go, launch, open, shot, signIn, steps } from './desk.mjs';

let browser;
let page;

before(async () => {
  browser = await launch();
  page = (await open(browser)).page;
  await signIn(page, PASSWORD);
  await page.locator('.rail').waitFor();
});
after(async () => {
  await browser?.close();
  assert.deepEqual(faults, []);
});

/** Waits until a picture shows so many items. */
const drawn = (p, n) => p.waitForFunction((want) => Number(document.querySelector('[data-testid=graph]')?.getAttribute('data-drawn')) === want, n);
/** Chooses in a field that searches as one types. */
const pick = async (p, field, text, typed = text) => {
  await field.click();
  await field.fill(typed);
  await p.locator('.ant-select-dropdown:visible .ant-select-item-option').filter({ hasText: text }).first().click();
};

steps('the home tells what there is, and each figure leads to its list', async () => {
  await go(page, '/cmdb');
  await page.getByRole('link', { name: /配置项/ }).first().waitFor();
  await page.getByRole('table', { name: '最近 7 天的变更' }).waitFor();
  await page.getByRole('link', { name: '医保' }).waitFor();
  await page.getByRole('button', { name: '关注 医保' }).click();
  await page.getByRole('button', { name: '已关注 医保' }).waitFor();
  await shot(page, 'cmdb-home');
  await page.getByRole('link', { name: '医保' }).click();
  await page.waitForURL(/\/cmdb\/items\?filter=/);
  await page.getByRole('link', { name: 'yb-app-1' }).waitFor();
});

steps('a filter is built by hand, and a mistake is told with its place', async () => {
  await go(page, '/cmdb/items?class=host');
  await page.getByRole('button', { name: /高级筛选/ }).click();
  await pick(page, page.getByRole('combobox', { name: '字段' }).first(), '重要性', 'criticality');
  await page.getByLabel('值', { exact: true }).first().fill('5');
  await page.getByRole('button', { name: '筛选', exact: true }).click();
  await page.waitForURL(/criticality/);
  await page.getByRole('link', { name: 'yb-db-1' }).waitFor();
  await page.getByRole('link', { name: 'yb-app-1' }).waitFor({ state: 'detached' });
  await shot(page, 'cmdb-items');
  await page.getByLabel('筛选语句').fill('criticality >= ');
  await page.getByRole('button', { name: '筛选', exact: true }).click();
  await page.getByText(/第 \d+ 个字符/).first().waitFor();
});

steps('labels are set on several at once, looked at first, and taken back', async () => {
  await go(page, '/cmdb/items?class=host&q=yb-app');
  await page.getByRole('checkbox', { name: '全选' }).or(page.locator('th.check input')).first().check();
  await page.getByRole('button', { name: '批量修改', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('值', { exact: true }).fill('演练');
  await dialog.getByRole('button', { name: '预览' }).click();
  await dialog.getByText(/将修改 2 项/).waitFor();
  await dialog.getByRole('button', { name: '修改 2 项' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: '演练' }).first().waitFor();
  await page.getByRole('button', { name: '撤销' }).click();
  await page.getByRole('button', { name: '演练' }).first().waitFor({ state: 'detached' });
});

steps('the form follows the model, and says at the field what is wrong', async () => {
  await go(page, '/cmdb/items/new?class=host');
  await page.locator('#f-name').fill('yb-app-9');
  await page.locator('#f-addresses').fill('10.9.0.300');
  await page.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByRole('alert').filter({ hasText: '10.9.0.300' }).first().waitFor();
  await page.locator('#f-addresses').fill('10.9.0.30');
  await page.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByRole('heading', { name: 'yb-app-9' }).waitFor();
});

steps('who edits what another has changed sees both, and decides', async () => {
  await go(page, '/cmdb/yb-app-1/edit');
  await page.locator('#f-owner').fill('我');
  const answer = await page.evaluate(async () => (await fetch('/api/v1/cmdb/items/yb-app-1', { method: 'PATCH', headers: { 'Content-Type': 'application/json', 'X-Requested-With': 'icewatch' }, body: '{"owner":"赵敏"}' })).status);
  assert.equal(answer, 200);
  await page.getByRole('button', { name: '保存', exact: true }).click();
  const conflict = page.getByTestId('conflict');
  await conflict.getByText('赵敏').waitFor();
  await conflict.getByText('冲突', { exact: true }).waitFor();
  await shot(page, 'cmdb-conflict');
  await page.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByRole('heading', { name: 'yb-app-1' }).waitFor();
  await go(page, '/cmdb/yb-app-1?tab=history');
  await page.getByTestId('history').getByText('我', { exact: true }).first().waitFor();
});

steps('impact is a picture and a list', async () => {
  await go(page, '/cmdb/yb-db-1?tab=graph');
  await page.getByTestId('walkcounts').waitFor();
  await page.getByRole('table', { name: '影响（下游）' }).getByRole('link', { name: '医保结算应用' }).waitFor();
  await page.waitForFunction(() => Number(document.querySelector('[data-testid=graph]')?.getAttribute('data-drawn')) > 2);
  await shot(page, 'cmdb-impact');
});

steps('the key path between two items is a chain', async () => {
  await go(page, '/cmdb/path?from=yb-sys&to=yb-db-1');
  await page.getByTestId('chain').getByRole('link', { name: 'yb-db-1' }).waitFor();
  await page.getByTestId('chain').getByText(/最短 \d 步/).waitFor();
  await page.waitForFunction(() => Number(document.querySelector('[data-testid=graph]')?.getAttribute('data-drawn')) > 1);
  await shot(page, 'cmdb-path');
});

steps('a deletion tells what breaks, and comes back with its relations', async () => {
  await go(page, '/cmdb/yb-app-2');
  await page.getByRole('button', { name: '删除', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByTestId('breaks').waitFor();
  await dialog.getByText(/条关系会一同删除/).waitFor();
  await dialog.getByRole('button', { name: '删除', exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.waitForURL(/\/cmdb\/items\?class=host/);
  await page.getByRole('button', { name: '撤销' }).click();
  await page.getByText('已恢复').waitFor();
  await go(page, '/cmdb/yb-app-2?tab=relations');
  await page.getByRole('link', { name: '医保结算应用' }).waitFor();
});

steps('a topology is drawn, grown along relations, saved, and found by what stands in it', async () => {
  await go(page, '/cmdb/topologies');
  await page.getByText('还没有拓扑图').waitFor();
  await page.getByRole('button', { name: '新建业务分层图' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('名称').fill('医保容灾');
  await dialog.getByLabel('场景').fill('容灾演练');
  await dialog.getByRole('button', { name: '创建' }).click();
  await page.waitForURL(/\/cmdb\/topologies\/.+/);
  await page.getByText('这张图还是空的').waitFor();
  await pick(page, page.getByRole('combobox', { name: '添加资产' }), '医保结算系统');
  await drawn(page, 1);
  await page.getByRole('list', { name: '图中的资产' }).getByRole('button', { name: /医保结算系统/ }).click();
  await page.getByTestId('chosen').getByRole('button', { name: /包含/ }).click();
  await page.getByRole('list', { name: '图中的资产' }).getByRole('button', { name: /医保结算应用/ }).click();
  await page.getByTestId('chosen').getByRole('button', { name: /运行于/ }).click();
  await page.getByRole('list', { name: '图中的资产' }).getByRole('button', { name: /yb-app-2/ }).waitFor();
  await page.getByTestId('chosen').getByLabel('备注').fill('主用');
  await page.getByRole('button', { name: '保存', exact: true }).click();
  await page.getByText('有未保存的改动').waitFor({ state: 'detached' });
  await page.waitForFunction(() => Number(document.querySelector('[data-testid=graph]')?.getAttribute('data-drawn')) >= 4);
  await shot(page, 'cmdb-topology');
  await go(page, '/cmdb/yb-app-2');
  await page.getByRole('link', { name: '医保容灾' }).waitFor();
  await go(page, '/cmdb/topologies?q=容灾');
  await page.getByRole('button', { name: '删除', exact: true }).click();
  await page.getByText('没有符合条件的拓扑图').waitFor();
  await page.getByRole('button', { name: '撤销' }).click();
  await page.getByRole('link', { name: '医保容灾' }).waitFor();
});

steps('the model is changed after a look at what that does, and changed back', async () => {
  await go(page, '/cmdb/models?class=host');
  await page.getByRole('button', { name: /加属性/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('标识').fill('asset_tag');
  await dialog.getByLabel('中文名').fill('资产标签号');
  await dialog.getByRole('button', { name: '预览变更' }).click();
  await page.getByTestId('modelchange').getByRole('status').waitFor();
  await page.getByRole('button', { name: '执行变更' }).click();
  await page.getByText('资产标签号').waitFor();
  await shot(page, 'cmdb-models');
  await go(page, '/cmdb/models?tab=revisions');
  await page.getByRole('button', { name: '撤销这次变更' }).click();
  await page.getByRole('dialog').getByRole('button', { name: '撤销这次变更' }).click();
  await page.getByText('撤销第 1 版').waitFor();
  await go(page, '/cmdb/models?tab=topology');
  await page.waitForFunction(() => Number(document.querySelector('[data-testid=graph]')?.getAttribute('data-drawn')) > 10);
  await shot(page, 'cmdb-modeltopology');
  await go(page, '/cmdb/rules?tab=rules');
  await page.getByText('地址落在网段内').waitFor();
  await go(page, '/cmdb/dictionaries');
  await page.getByRole('button', { name: '预览变更' }).waitFor();
  await shot(page, 'cmdb-dictionaries');
});

steps('English and dark', async () => {
  const { page: p } = await open(browser, { theme: 'dark', locale: 'en-US' });
  await signIn(p, PASSWORD);
  await p.locator('.rail').waitFor();
  await go(p, '/cmdb');
  await p.getByRole('table', { name: 'Changes of the last 7 days' }).waitFor();
  await shot(p, 'cmdb-home-dark');
  await go(p, '/cmdb/yb-db-1?tab=graph&layout=lanes');
  await p.waitForFunction(() => Number(document.querySelector('[data-testid=graph]')?.getAttribute('data-drawn')) > 2);
  await shot(p, 'cmdb-impact-dark');
});
