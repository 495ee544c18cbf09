import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { detailZh, fieldZh, objectZh, type Named } from './audittext';

const NAMES: Record<string, string> = { 'setting.sessions': '会话', 'finding.new_device': '新设备', 'act.lock': '拒绝并锁定' };
const named: Named = (group, name) => NAMES[`${group}.${name}`];

describe('the audit log in Chinese', () => {
  it('knows every object that the server names', () => {
    const api = new URL('../../../api/', import.meta.url);
    const objects = new Set<string>();
    for (const file of readdirSync(api).filter((f) => f.endsWith('.go') && !f.endsWith('_test.go')))
      for (const m of readFileSync(new URL(file, api), 'utf8').matchAll(/(?:AuditObject\(\w+, (?:fmt\.Sprintf\()?|\.object(?:, [\w.]+)* = )"([^"]+)"/g)) objects.add((m[1] ?? '').replace(/%\w.*$/, '').replace(/[: ]$/, (x) => `${x}x`));
    expect(objects.size).toBeGreaterThan(90);
    expect([...objects].filter((object) => objectZh(object, named) === object)).toEqual([]);
  });

  it.each([
    ['session', '会话'],
    ['cmdb view 7', '台账视图：7'],
    ['cmdb host-1', '资产：host-1'],
    ['work-order', '工单'],
    ['own password', '自己的密码'],
    ['user:wang.wei', '用户：wang.wei'],
    ['setting:sessions', '设置：会话'],
    ['setting:unheard-of', '设置：unheard-of'],
    ['user:a:b', '用户：a:b'],
    ['/api/v1/users', '/api/v1/users'],
    ['toString:x', 'toString:x'],
    ['constructor', 'constructor'],
    [':x', ':x'],
    ['', ''],
  ])('names the object %j', (object, zh) => expect(objectZh(object, named)).toBe(zh));

  it.each([
    ['wrong user name or password', '用户名或密码错误'],
    ['changed: display_name roles unheard_of', '修改了：姓名、角色、unheard_of'],
    ['changed:', 'changed:'],
    ['unusual: new_device, odd', '异常：新设备、odd'],
    ['access copied from $& li', '权限复制自 $& li'],
    ['the session turned up in another network within a minute; done about it: lock', '会话在一分钟内出现在另一个网段；处理：拒绝并锁定'],
    ['separation of the three powers: true', '三权分立：开启'],
    ['wrong second factor (came again 3 times since 2026-11-25T23:09:38Z)', '第二因素错误（此后又有 3 次）'],
    [' (came again 1 times since 2026-11-25T23:09:38Z)', '（此后又有 1 次）'],
    ['something new', 'something new'],
  ])('says the detail %j', (detail, zh) => expect(detailZh(detail, named)).toBe(zh));

  it('names fields, and leaves alone what it does not know', () => {
    expect(fieldZh('valid_until')).toBe('到期时间');
    expect(fieldZh('hasOwnProperty')).toBe('hasOwnProperty');
  });
});
