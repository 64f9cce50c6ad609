"""How well texts of a page can be read, as WCAG counts it."""

import re

LEAST = 4.5
"""The contrast that WCAG AA asks of texts."""

_TEXTS = """(leftOut) => [...document.querySelectorAll('body *')]
   .filter((own) => own.getClientRects().length && !own.closest(leftOut)
     && [...own.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
   .map((own) => {
     let back = own;
     const clear = (node) => getComputedStyle(node).backgroundColor === 'rgba(0, 0, 0, 0)';
     while (clear(back) && back.parentElement) back = back.parentElement;
     return [own.innerText.slice(0, 40), getComputedStyle(own).color,
             getComputedStyle(back).backgroundColor];
   })"""


def luminance(colour):
    """Return the relative luminance of a colour as browsers write it: rgb(1, 2, 3)."""
    channels = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrasts(page, left_out="svg"):
    """Return the contrast of every text with what is behind it, by text and both colours.

    Args:
        page: of playwright's.
        left_out: selector of elements whose texts are not looked at.
    """
    ratios = {}
    for text, fore, back in page.evaluate(_TEXTS, left_out):
        light, dark = sorted((luminance(fore), luminance(back)), reverse=True)
        ratios[text, fore, back] = (light + 0.05) / (dark + 0.05)
    return ratios
