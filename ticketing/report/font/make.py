"""Makes report.ttf: Open Sans for Latin, Droid Sans Fallback for the rest of
GB 2312, both of them Apache-2.0, from Debian's fonts-open-sans and
fonts-droid-fallback. Needs fontTools.

    python3 make.py OpenSans-Regular.ttf DroidSansFallbackFull.ttf
"""
import sys

from fontTools import merge, subset
from fontTools.ttLib.scaleUpem import scale_upem

chars = {chr(c) for c in range(0x20, 0x7F)} | {chr(c) for c in range(0xA0, 0x180)} | set("…—–‘’“”•·×÷±€￥")
for a in range(0xA1, 0xF8):
    for b in range(0xA1, 0xFF):
        try:
            chars.add(bytes([a, b]).decode("gb2312"))
        except UnicodeDecodeError:
            pass


def part(path, text, out):
    options = subset.Options(hinting=False, layout_features=[], notdef_outline=True, glyph_names=False)
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "vhea", "vmtx", "gasp", "DSIG", "kern", "cvt ", "fpgm", "prep", "LTSH", "VDMX", "hdmx"]
    font = subset.load_font(path, options)
    chosen = subset.Subsetter(options)
    chosen.populate(text=text)
    chosen.subset(font)
    scale_upem(font, 1000)
    font.save(out)
    return set(font.getBestCmap())


latin = part(sys.argv[1], "".join(c for c in chars if ord(c) < 0x2100), "latin.ttf")
part(sys.argv[2], "".join(c for c in chars if ord(c) not in latin), "han.ttf")
font = merge.Merger().merge(["latin.ttf", "han.ttf"])
for table in ("GSUB", "GPOS", "GDEF", "BASE"):
    if table in font:
        del font[table]
font.save("report.ttf")
