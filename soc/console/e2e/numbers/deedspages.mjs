/**
 * What the pages say once deeds.mjs is done: pages of response, duty,
 * notification, assets, intake, rules and administration.
 */
import { INSIDE, MARKED, SECOND, STRANGER, WATCHED } from './deeds.mjs';

const MIB = INSIDE.reduce((n, f) => n + f.bytes, 0) / 1024 / 1024;
const TIME = '\\d\\d:\\d\\d:\\d\\d';
/** A failed password for each alert of the first wave, an outside sign-in in each wave. */
const ALERTS = 4;

/** A page, its address, what it must say; `it` is what deeds() answered, `page` the browser's, `shipped` what the suite brings along and the API tells of. */
export const figures = (it, page, shipped) => [
  ['/threats', '/threats', ['高级威胁 0 外部威胁 ▲ 1 4', `${ALERTS} 告警 ${ALERTS} 未关闭 1 紧急与高 ${ALERTS} 成功或失陷 2 攻击者`]],
  ['/entities', '/entities', [new RegExp(`${WATCHED.replaceAll('.', '\\.')} 恶意 · 高 ◉ 重点关注 0 `)]],
  ['/silences', '/silences', [async () => (await page.locator('main tbody tr').filter({ hasText: '生效中' }).count()) === 1 && (await page.locator('main tbody tr').filter({ hasText: '未开始' }).count()) === 1, /还有 1:\d\d:\d\d alertname=NumNothing 割接/]],
  ['/suppressions', '/suppressions', ['1 条加白规则 7 天内到期', '还剩 1 天 尚未命中']],
  ['/merge-rules', '/merge-rules', [new RegExp(`${ALERTS} 触发 ${ALERTS} 告警 2 要处理的 2 : 1 压缩比`), '来自外部地址的 SSH 登录 2 2 1 : 1']],
  ['/maintenance', '/maintenance', [new RegExp(`数据库升级 例行 .* 1小时前 – .* 2小时后 num-old-1`)]],
  ['/policies', '/policies', [async () => (await page.getByRole('table', { name: '决策日志' }).locator('tbody tr').filter({ hasText: 'icewatch/priority/decision' }).count()) >= ALERTS]],
  ['/statutory', '/statutory', ['没有待报送的法定报告']],
  ['/disposals', '/disposals', [/^处置记录 5 /, '启用处置预案“口令攻击处置”，生成 3 项任务', '工单 ITSM-1：受理中']],
  ['/disposal-plans', '/disposal-plans', [async () => (await page.locator('main ol li').count()) === 3]],
  ['/disposal-rules', '/disposal-rules', [new RegExp(`第二波转本人 告警 source_ip="${SECOND}" 指派给 admin 1 ${TIME}`)]],
  ['/disposal-rules', '/disposal-rules?tab=records', [/^自动处置 1 次 /]],
  ['/orders', '/orders', [/^工单 1 /, '203.0.113.91 对 num-web-1 发起攻击', 'ITSM-1 市 ITSM']],
  ['/notices', '/notices', [/^通报预警 2 /, '0 未读 2 起草与审批中 0 已下发未办结 0 逾期未回复']],
  ['/notices/:id', `/notices/${it.notice}`, [/回复期限 .* 23小时后/]],
  ['/daily-reports', '/daily-reports', [/^安全日报 1 /]],
  ['/duty', '/duty', ['正在当班 运营值班 · 一线', async () => (await page.getByRole('button', { name: '办结' }).count()) === 2]],
  ['/duty/calendar', '/duty/calendar', ['全程有人当班']],
  ['/duty/teams/:id', `/duty/teams/${it.team}`, ['线 1 · 一线', '排班预览（14 天） 全程有人当班', async () => (await page.getByTestId('preview').getByText('admin', { exact: true }).count()) >= 14]],
  ['/notify', '/notify', [new RegExp(`已送达 night-desk .*${SECOND}.* 根路由 / 第二波 .* 1$`)]],
  ['/notify/routes', '/notify/routes', ['首次等待 0s · 变化间隔 1s', new RegExp(`1 ${TIME} admin`)]],
  ['/systems', '/systems', [`总数 ${shipped.systems} · 有风险 0`, `已失陷 0 高危 0 中危 0 低危 ${shipped.systems}`]],
  ['/cmdb/labels', '/cmdb/labels', ['核心 2 改名或合并']],
  ['/cmdb/dictionaries', '/cmdb/dictionaries', shipped.dictionaries.map((d) => `${d.title} ${d.values}`)],
  ['/cmdb/topologies', '/cmdb/topologies', ['印章平台 – 2 admin']],
  ['/cmdb/topologies/:id', `/cmdb/topologies/${it.topology}`, ['图中的资产 2 num-web-1']],
  ['/cmdb/path', `/cmdb/path?from=${it.web}&to=${it.db}`, ['最短 1 步 num-web-1 —依赖→ num-db-1']],
  ['/cmdb/import', '/cmdb/import', [new RegExp(`${TIME} known.yaml admin 1 / 0 / 0`)]],
  ['/cmdb/requests', '/cmdb/requests', [/1 待审批 换责任人 admin 1 /]],
  ['/cmdb/inbox', '/cmdb/inbox', [new RegExp(`${STRANGER.address.replaceAll('.', '\\.')} – .* sshd.auth ${STRANGER.lines} `)]],
  ['/cmdb/subscriptions', '/cmdb/subscriptions', [/主机变更 主机 .* 控制台 1 /]],
  ['/cmdb/:id', `/cmdb/${it.web}`, ['关联资产 关系 依赖 1 num-db-1 主机 位于网段 1 数字网段', async () => (await page.getByText('num-web-1 上 5 分钟内 8 次 SSH 登录失败').count()) === 1]],
  ['/cmdb/traffic', '/cmdb/traffic?view=rows', ['1 条通信', new RegExp(`num-web-1 .*num-db-1 .*443.* ${MIB} MiB ${INSIDE.length} `)]],
  ['/processing', '/processing', [new RegExp(`第二波打标 log.syslog.appname 等于 nummark marked 全部租户 ${MARKED} ${TIME}`)]],
  ['/forwarding', '/forwarding', [new RegExp(`superior .* 正常 .*? [\\d.]+ 条/秒 ${MARKED} 0 `)]],
  ['/parsers', '/parsers', [`${shipped.packs} 个产品，${shipped.kinds.toLocaleString('en')} 种日志`]],
  ['/knowledge/:id', '/knowledge/num-known', [async () => (await page.locator('main ol.articlelines li').count()) === 2]],
  ['/rules', '/rules?q=SSH', [new RegExp(`^检测规则 ${shipped.rules} `), `全部 ${shipped.rules} 生效 ${shipped.rules} 已停用 0 被拒 0 受限 0`, /来自外部地址的 SSH 登录 单事件规则 .*?account-abuse 2 /, /SSH 口令被猜中 关联规则 .*?brute-force 1 /]],
  ['/rules/:id', `/rules/${it.outside}`, [/命中 2 24 小时命中/, '命中率 100.0% 评估次数 2', '90 天内有 2 条告警', async () => (await page.getByTestId('rule-alerts').locator('li').count()) === 2]],
  ['/rules/proposals', '/rules/proposals', ['没有规则变更申请']],
  ['/generation', '/generation', [`${ALERTS} 告警 0 重点 0 归集 0 仅留存 ${ALERTS} 通知次数`]],
  ['/portal', '/portal', [async () => (await page.getByText('巡检', { exact: true }).count()) === 1]],
  ['/admin/users', '/admin/users', ['共 3 个']],
  ['/admin/users/:id', `/admin/users/${it.me}?tab=sessions`, [/当前会话 (⚠ 新设备 )?127\.0\.0\.1 密码/, /常用客户端 .*Headless Chrome \d+, Linux ×1(?!\d)/]],
  ['/admin/users/:id', `/admin/users/${it.people[0]}?tab=sessions`, ['没有活动会话', '没有绑定第二因素', '没有记住的设备']],
  ['/admin/audit', '/admin/audit?action=create-user', [async () => (await page.locator('main tbody tr').filter({ hasText: '新建用户' }).count()) === 2]],
  ['/admin/audit', '/admin/audit?action=create-suppression', [async () => (await page.locator('main tbody tr').filter({ hasText: '新建误报加白规则' }).count()) === 2]],
  ['/admin/units', '/admin/units?unit=num-bureau', ['共 2 个', '数据局 2 名用户']],
  ['/admin/roles', '/admin/roles?role=analyst', [`共 ${shipped.roles} 个`, '分析员 analyst 2 名用户', /管理员 内置 (\d+) \/ \1 项权限/]],
  ['/admin/groups', '/admin/groups', ['夜班 用户组 – 1']],
  ['/admin/sessions', '/admin/sessions', [async () => (await page.locator('main tbody tr').filter({ hasText: 'Chrome' }).count()) === 1]],
  ['/admin/keys', '/admin/keys', ['共 1 个', '联系点设置 1', '工单系统的密钥 1']],
  ['/admin/settings', '/admin/settings', ['资产变更审批 1 处与默认不同', '流量发现关系 1 处与默认不同', '未知资产发现 1 处与默认不同']],
];
