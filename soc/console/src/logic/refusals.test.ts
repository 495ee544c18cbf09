import { describe, expect, it } from 'vitest';
import catalogue from '../locales/refusals.json';
import { refusalZh } from './refusals';

describe('refusals in Chinese', () => {
  const cases: [string, string][] = [
    ['the package: it is no gzip: want a tar archive that is packed with gzip (.tar.gz): gzip: invalid header', '文件包有误：不是 gzip：应为 gzip 压缩的 tar 包（.tar.gz）：gzip 文件头无效'],
    ['plugin.yaml: programs: linux/amd64: it is an executable of linux/arm64: name that platform', 'plugin.yaml: programs: linux/amd64：它是 linux/arm64 的可执行文件：请写明该平台'],
    ['"a \\"b\\".sh" is a link: files and folders alone are taken', '“a "b".sh”是链接：只接受文件和目录'],
    ['the icon is 2000 × 10 points; at most 1024 × 1024 are allowed', '图标为 2000 × 10 像素：最大 1024 × 1024'],
    ['cmdb: invalid item: unknown tenant "x"', '未知租户“x”'],
    ['nothing was imported: the file has 2 errors, the first: sheet "主机", row 3, column tenant: unknown tenant "x"', '没有导入任何内容：文件有 2 处错误，第一处：工作表“主机”第 3 行 tenant 列：未知租户“x”'],
    ['the ELF file is of machine 8; amd64, arm64 and loong64 are known', 'ELF 文件的机器类型是 8：支持 amd64、arm64 和 loong64'],
    ['the executable is of machine 0x1c4; amd64 and arm64 are known', '可执行文件的机器类型是 0x1c4：支持 amd64 和 arm64'],
    ['limits: 0.5 % and 0 MB: want above 0 to 10000 % of a core, and 1 to 65536 MB', 'limits：0.5 % 和 0 MB：CPU 应大于 0、不超过 10000 %（一个核为 100 %），内存应为 1 到 65536 MB'],
    ['not valid YAML: line 3: mapping values are not allowed in this context', '不是有效的 YAML：第 3 行：此处不能有键值对，请检查缩进和引号'],
    ['title is missing\ncondition names the selection "x", which is not defined', '缺少 title\ncondition 引用了未定义的 selection“x”'],
  ];
  it.each(cases)('%s', (en, zh) => expect(refusalZh(en)).toBe(zh));

  it('leaves alone what it does not know', () => {
    for (const text of ['', 'there is no host', 'a: b', 'constructor']) expect(refusalZh(text)).toBeUndefined();
  });

  it('gives each value of a format a place, and no other', () => {
    const { libraries: _, ...ours } = catalogue as Record<string, Record<string, string>>; // libraries name Go's types, which say nothing here
    for (const [format, zh] of Object.values(ours).flatMap((g) => Object.entries(g))) {
      const values = (format.replace(/^%w: /, '').match(/%[#+.\d]*[a-zA-Z]/g) ?? []).length;
      const places = [...zh.matchAll(/\{(\d)\}/g)].map((m) => Number(m[1]));
      expect(Math.max(0, ...places), format).toBeLessThanOrEqual(values);
      for (let i = 1; i <= values; i++) expect(places, format).toContain(i);
    }
  });
});
