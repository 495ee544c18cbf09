/** Pages whose numbers numbers.test.mjs does not hold. */

/** Pages whose figures a test of their own holds: its file, the step that drives what they count, and what that step holds of them. */
export const ELSEWHERE = {
  '/agents': ['fleet.test.mjs', 'a host is added by its line', "'主机 1 · 有效 Agent 1'"],
  '/agents/hosts/:id': ['fleet.test.mjs', "a host's page tells what it is and how it fares", 'totalmem()'],
  '/finding-orders': ['findings.test.mjs', 'a work order is made of findings, and says how many are left', "['/finding-orders', '1 / 2']"],
  '/finding-orders/:id': ['findings.test.mjs', 'a work order is made of findings, and says how many are left', "[order, '待整改 1 / 2']"],
  '/vulnerabilities/:id': ['findings.test.mjs', 'published vulnerabilities are taken in, and lead to the assets that have them', "'受影响的资产 全部 1 项未关闭'"],
  '/scans': ['findings.test.mjs', 'the scanner finds what is published, and the second scan what changed', "['/scans', '网站检查', '100% 主机 1/1 存活 1 · 服务 1 · 隐患 2']"],
  '/scans/:id': ['findings.test.mjs', 'the scanner finds what is published, and the second scan what changed', "'新增隐患 2，已知 2，复测关闭 0', '暴露面变更 2'"],
  '/surface': ['findings.test.mjs', 'the scanner finds what is published, and the second scan what changed', "'1 台主机，0 台未登记，2 项变更未确认'"],
  '/findings/:id': ['findings.test.mjs', 'published vulnerabilities are taken in, and lead to the assets that have them', "'优先级 74'"],
  '/rules/new': ['rules.test.mjs', 'it is tried on stored events before it is kept', "'触发 1 合并后告警 1'"],
  '/rules/:id/edit': ['rules.test.mjs', 'a change is a version, the one before comes back, and what is deleted too', "assert.equal(firings, '5')"],
};

/** Pages that show no figure, and why. */
export const WITHOUT = {
  '/login': 'a form',
  '/welcome': 'forms of the first steps',
  '/me': "a form of one's own account",
  '/connect': 'settings to copy',
  '/notices/new': 'a form',
  '/notices/:id/edit': 'a form',
  '/cmdb/items/new': 'a form',
  '/cmdb/:id/edit': 'a form',
  '/orders/connections': 'names, addresses and states',
  '/inhibitions': 'names and conditions',
  '/notify/contacts': 'names and kinds',
  '/notify/wordings': 'names and texts',
  '/cmdb/rules': 'kinds of relations in words',
  '/knowledge': 'titles to choose from',
  '/event-levels': 'a form: its figures are entered',
  '/admin/masking': 'patterns; how they hide is entered',
  '/admin/identity-providers': 'names and states',
  '/admin/identity-providers/:id': 'a form',
  '/admin/applications': 'names, addresses and states',
  '/admin/applications/:id': 'a form',
  '/admin/transitions': 'a table of what may become what',
};
