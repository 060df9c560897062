"""Coefficients of the embedded-atom functions of 16 metals.

Source: X. W. Zhou, R. A. Johnson, H. N. G. Wadley, Phys. Rev. B 69, 144113 (2004), Table III, with the values
of the authors' own table maker (``EAM_code``, distributed with LAMMPS in ``tools/eam_database``). Other
transcriptions of the table have W's eta negative (then the outer part does not join), Pt's inner part ending
at 0.85 rho_e like all others (the same), and Ni's rho_s, eta, F_e = 27.930410, 0.469000, -2.699486 (which
joins too). As given here, every embedding function is zero at zero density and joins at both seams, in value
and slope, to the printed digits; tests hold the table to that.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

PAIR_FUNCTIONS = """
el           re         fe      alpha       beta          A          B      kappa     lambda
Cu     2.556162   1.554485   8.127620   4.334731   0.396620   0.548085   0.308782   0.756515
Ag     2.891814   1.106232   9.132010   4.870405   0.277758   0.419611   0.339710   0.750758
Au     2.885034   1.529021   9.516052   5.075228   0.229762   0.356666   0.356570   0.748798
Ni     2.488746   2.007018   8.383453   4.471175   0.429046   0.633531   0.443599   0.820658
Pd     2.750897   1.595417   8.697397   4.638612   0.406763   0.598880   0.397263   0.754799
Pt     2.771916   2.336509   7.105782   3.789750   0.556398   0.696037   0.385255   0.770510
Al     2.863924   1.403115   6.613165   3.527021   0.314873   0.365551   0.379846   0.759692
Pb     3.499723   0.647872   9.121799   5.212457   0.161219   0.236884   0.250805   0.764955
Fe     2.481987   1.885957   9.818270   5.236411   0.392811   0.646243   0.170306   0.340613
Mo     2.728100   2.723710   8.393531   4.476550   0.708787   1.120373   0.137640   0.275280
Ta     2.860082   3.086341   8.489528   4.527748   0.611679   1.032101   0.176977   0.353954
W      2.740840   3.487340   8.900114   4.746728   0.882435   1.394592   0.139209   0.278417
Mg     3.196291   0.544323  10.228708   5.455311   0.137518   0.225930   0.500000   1.000000
Co     2.505979   1.975299   8.679625   4.629134   0.421378   0.640107   0.500000   1.000000
Ti     2.933872   1.863200   8.775431   4.680230   0.373601   0.570968   0.500000   1.000000
Zr     3.199978   2.230909   8.559190   4.564902   0.424667   0.640054   0.500000   1.000000
"""
"""r_e in Å; f_e in the arbitrary units of the density; A and B in eV; the rest are pure numbers."""

INNER_EMBEDDING = """
el         rhoe       rhos          n        Fn0        Fn1        Fn2        Fn3
Cu    21.175871  21.175395   0.850000  -2.170269  -0.263788   1.088878  -0.817603
Ag    14.604100  14.604144   0.850000  -1.729364  -0.255882   0.912050  -0.561432
Au    19.991632  19.991509   0.850000  -2.937772  -0.500288   1.601954  -0.835530
Ni    27.562015  27.562031   0.850000  -2.693513  -0.076445   0.241442  -2.375626
Pd    21.335246  21.940073   0.850000  -2.321006  -0.473983   1.615343  -0.231681
Pt    33.367564  35.205357   0.250000  -1.455568  -2.149952   0.528491   1.222875
Al    20.418205  23.195740   0.850000  -2.807602  -0.301435   1.258562  -1.247604
Pb     8.450154   8.450063   0.850000  -1.422370  -0.210107   0.682886  -0.529378
Fe    20.041463  20.041463   0.850000  -2.534992  -0.059605   0.193065  -2.282322
Mo    29.354065  29.354065   0.850000  -3.692913  -0.178812   0.380450  -3.133650
Ta    33.787168  33.787168   0.850000  -5.103845  -0.405524   1.112997  -3.585325
W     37.234847  37.234847   0.850000  -4.946281  -0.148818   0.365057  -4.432406
Mg     7.132600   7.132600   0.850000  -0.896473  -0.044291   0.162232  -0.689950
Co    27.206789  27.206789   0.850000  -2.541799  -0.219415   0.733381  -1.589003
Ti    25.565138  25.565138   0.850000  -3.203773  -0.198262   0.683779  -2.321732
Zr    30.879991  30.879991   0.850000  -4.485793  -0.293129   0.990148  -3.202516
"""
"""rho_e and rho_s in the units of the density; n is rho_n / rho_e, where the inner part ends; F in eV."""

OUTER_EMBEDDING = """
el           F0         F2         F3        eta         Fe
Cu    -2.190000   0.561830  -2.100595   0.310490  -2.186568
Ag    -1.750000   0.744561  -1.150650   0.783924  -1.748423
Au    -2.980000   1.706587  -1.134778   1.021095  -2.978815
Ni    -2.700000   0.265390  -0.152856   0.445470  -2.700000
Pd    -2.360000   1.481742  -1.675615   1.130000  -2.352753
Pt    -4.170000   3.010561  -2.420128   1.450000  -4.145597
Al    -2.830000   0.622245  -2.488244   0.785902  -2.824528
Pb    -1.440000   0.702726  -0.538766   0.935380  -1.439436
Fe    -2.540000   0.200269  -0.148770   0.391750  -2.539945
Mo    -3.710000   0.875874   0.776222   0.790879  -3.712093
Ta    -5.140000   1.640098   0.221375   0.848843  -5.141526
W     -4.960000   0.661935   0.348147   0.582714  -4.961306
Mg    -0.900000   0.122838  -0.226010   0.431425  -0.899702
Co    -2.560000   0.705845  -0.687140   0.694608  -2.559307
Ti    -3.220000   0.608587  -0.750710   0.558572  -3.219176
Zr    -4.510000   0.928602  -0.981870   0.597133  -4.509025
"""
"""F in eV; F1 is zero for every metal; the outermost part begins at 1.15 rho_e."""


@dataclass(frozen=True)
class ZhouParameters:
    """Coefficients of one metal, named as in the tables above."""

    re: float
    fe: float
    alpha: float
    beta: float
    a: float
    b: float
    kappa: float
    lamda: float
    rhoe: float
    rhos: float
    n: float
    fn0: float
    fn1: float
    fn2: float
    fn3: float
    f0: float
    f2: float
    f3: float
    eta: float
    fo: float


def _rows(table: str) -> dict[str, list[float]]:
    lines = [line.split() for line in table.strip().splitlines()[1:]]
    return {symbol: [float(word) for word in words] for symbol, *words in lines}


def _parse() -> dict[str, ZhouParameters]:
    pair, inner, outer = (_rows(table) for table in (PAIR_FUNCTIONS, INNER_EMBEDDING, OUTER_EMBEDDING))
    names = [field.name for field in fields(ZhouParameters)]
    return {s: ZhouParameters(**dict(zip(names, pair[s] + inner[s] + outer[s], strict=True))) for s in pair}


PARAMETERS: dict[str, ZhouParameters] = _parse()
"""Coefficients by chemical symbol."""
