r"""How wide LaTeX's signs are: Computer Modern at 10 pt, in points, as its font metrics (tfm) say, italic corrections included.

A formula whose width is known can be broken before it overflows. All other sizes are multiples: a width of 345 pt at 10 pt is one
of 380 pt at 11 pt.
"""

from __future__ import annotations


def _table(text: str) -> dict[str, float]:
    """Signs and widths, one behind the other."""
    words = text.split()
    return dict(zip(words[::2], map(float, words[1::2]), strict=True))


#: Letters in math italic.
ITALIC = _table("""
    A 7.5 B 8.09 C 7.86 D 8.56 E 7.96 F 7.82 G 7.86 H 9.12 I 5.18 J 6.51 K 9.21 L 6.81 M 10.79 N 9.12 O 7.91 P 7.81 Q 7.91
    R 7.67 S 6.71 T 7.23 U 7.92 V 8.06 W 10.83 X 9.07 Y 8.03 Z 7.54 a 5.29 b 4.29 c 4.33 d 5.2 e 4.66 f 5.97 g 5.13 h 5.76
    i 3.45 j 4.69 k 5.52 l 3.18 m 8.78 n 6.0 o 4.85 p 5.03 q 4.82 r 4.79 s 4.69 t 3.61 u 5.72 v 5.21 w 7.43 x 5.72 y 5.26
    z 5.09 0 5 1 5 2 5 3 5 4 5 5 5 6 5 7 5 8 5 9 5 . 2.78 / 5 ! 2.78 | 2.78 ' 2.75 * 5 @ 7.78 ? 4.72 " 5
""")
#: Letters of names of functions and of text.
UPRIGHT = _table("""
    A 7.5 B 7.08 C 7.22 D 7.64 E 6.81 F 6.53 G 7.85 H 7.5 I 3.61 J 5.14 K 7.78 L 6.25 M 9.17 N 7.5 O 7.78 P 6.81 Q 7.78
    R 7.36 S 5.56 T 7.22 U 7.5 V 7.64 W 10.42 X 7.5 Y 7.75 Z 6.11 a 5 b 5.56 c 4.44 d 5.56 e 4.44 f 3.83 g 5.14 h 5.56
    i 2.78 j 3.06 k 5.28 l 2.78 m 8.33 n 5.56 o 5 p 5.56 q 5.28 r 3.92 s 3.94 t 3.89 u 5.56 v 5.42 w 7.36 x 5.28 y 5.42
    z 4.44 ~ 3.33
""")
#: Letters by their commands.
LETTERS = _table(r"""
    \Gamma 6.25 \Delta 8.33 \Theta 7.78 \Lambda 6.94 \Xi 6.67 \Pi 7.5 \Sigma 7.22 \Upsilon 7.78 \Phi 7.22 \Psi 7.78 \Omega 7.22
    \alpha 6.43 \beta 6.18 \gamma 5.73 \delta 4.82 \epsilon 4.06 \zeta 5.11 \eta 5.32 \theta 4.97 \iota 3.54 \kappa 5.76
    \lambda 5.83 \mu 6.03 \nu 5.58 \xi 4.84 \pi 6.06 \rho 5.17 \sigma 6.07 \tau 5.5 \upsilon 5.76 \phi 5.96 \chi 6.26 \psi 6.87
    \omega 6.58 \varepsilon 4.66 \vartheta 5.91 \varpi 8.56 \varrho 5.17 \varsigma 4.43 \varphi 6.54 \partial 5.86 \ell 4.17
    \infty 10 \prime 2.75 \top 7.78 \dots 13.34 \ldots 13.34 \cdots 13.34 \nabla 8.33 \parallel 5 \perp 7.78 \hbar 5.56
    \forall 5.56 \exists 5.56 \$ 5 \% 8.33 \# 8.33 \& 7.78 \_ 5 \mathsection 5 \dagger 4.45 \star 5 \ast 5 \circ 5 \| 5
""")
#: Operators between two terms or factors, and relations.
BINARY = _table(r"+ 7.78 - 7.78 \pm 7.78 \mp 7.78")
FACTORS = _table(r"\cdot 2.78 \times 7.78 \otimes 7.78 \odot 7.78")
RELATIONS = _table(r"""
    = 7.78 < 7.78 > 7.78 \to 10 \le 7.78 \leq 7.78 \ge 7.78 \geq 7.78 \in 6.67 \mid 2.78 \neq 7.78 \ne 7.78 \sim 7.78
    \simeq 7.78 \approx 7.78 \equiv 7.78 \propto 7.78 \ll 10 \gg 10 : 2.78 \wedge 6.67 \vee 6.67 \rightarrow 10 \mapsto 10
    \subset 7.78
""")
#: Operators that stand in front: large ones, with limits below and above in a display, and names of functions.
LARGE = _table(r"\sum 14.44 \prod 12.78")
INTEGRAL = _table(r"\int 10")
LIMITS = ("lim", "max", "min", "sup", "inf")
FUNCTIONS = (
    *("log", "ln", "exp", "sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "arcsin", "arccos"),
    *("arctan", "det", "arg", "ker", "dim", "hom", "deg", "gcd", "Pr", *LIMITS),
)
#: Spaces; a thin, a medium and a thick one also stand between signs of different kinds.
SPACES = {
    r"\,": 1.67,
    r"\:": 2.22,
    r"\>": 2.22,
    r"\;": 2.78,
    r"\!": -1.67,
    r"\quad": 10.0,
    r"\qquad": 20.0,
    "\\ ": 3.33,
    "~": 3.33,
}
THIN, MEDIUM, THICK = 1.67, 2.23, 2.78
#: Delimiters in five sizes: of a letter, \big, \Big, \bigg, \Bigg.
DELIMITERS = {
    **dict.fromkeys(("(", ")"), (3.89, 4.58, 5.97, 7.36, 8.75)),
    **dict.fromkeys(("[", "]", r"\lfloor", r"\rfloor", r"\lceil", r"\rceil"), (4.44, 4.17, 4.72, 5.28, 6.67)),
    **dict.fromkeys((r"\{", r"\}", r"\lbrace", r"\rbrace"), (5.0, 5.83, 6.67, 7.5, 8.89)),
    **dict.fromkeys((r"\langle", r"\rangle"), (3.89, 4.72, 6.11, 7.5, 8.06)),
    **dict.fromkeys(("|", r"\vert", r"\lvert", r"\rvert"), (2.78, 3.33, 3.33, 3.33, 3.33)),
    ".": (1.2, 1.2, 1.2, 1.2, 1.2),
}
#: The commands that set a delimiter in one of these sizes; a letter's delimiters are set a little larger where they are broken.
SIZES = (r"\big", r"\big", r"\Big", r"\bigg", r"\Bigg")
#: The sizes of the signs in display, text, scripts, and scripts of scripts; small fonts are wider than their size says.
SCALE = (1.0, 1.0, 0.84, 0.78)
