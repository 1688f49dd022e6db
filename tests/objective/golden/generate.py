# Golden values from the formulas, in pure Python and float64: `python3 generate.py > values.rs`.
# Shares nothing with the crate. Made with CPython 3; it uses only +, -, *, /, exp, log, and sqrt.
#
# Rows are samples here, and W1 is units x visible and W2 visible x units, as in CS294A.
import math
from sys import stderr

sig = lambda z: 1 / (1 + math.exp(-z))
mean = lambda v: sum(v) / len(v)
out = []


def shape(value):
    return f"[{shape(value[0])}; {len(value)}]" if isinstance(value, list) else "f64"


def const(name, value, doc):
    literal = repr([value])[1:-1]
    out.append(f"/// {doc}\npub(crate) const {name}: {shape(value)} = {literal};")


# ---------- The sparse autoencoder of CS294A: Ng, "Sparse autoencoder", sections 2 and 3
X = [[0.1, 0.9, 0.3], [0.8, 0.2, 0.5], [0.4, 0.4, 0.9], [0.6, 0.7, 0.1]]
W1 = [[0.2, -0.3, 0.4], [0.5, 0.1, -0.2]]
b1 = [0.05, -0.1]
W2 = [[0.3, -0.6], [0.1, 0.7], [-0.4, 0.2]]
b2 = [0.0, 0.1, -0.05]
lam, beta, rho = 0.01, 3.0, 0.1


def J(th):
    w1 = [th[0:3], th[3:6]]
    w2 = [th[6:8], th[8:10], th[10:12]]
    c1, c2 = th[12:14], th[14:17]
    m, rh, se = len(X), [0, 0], 0
    for x in X:
        a = [sig(sum(p * q for p, q in zip(w1[j], x)) + c1[j]) for j in range(2)]
        o = [sig(sum(p * q for p, q in zip(w2[i], a)) + c2[i]) for i in range(3)]
        for j in range(2):
            rh[j] += a[j] / m
        se += 0.5 * sum((p - q) ** 2 for p, q in zip(o, x)) / m
    wd = lam / 2 * (sum(v * v for r in w1 for v in r) + sum(v * v for r in w2 for v in r))
    kl = beta * sum(rho * math.log(rho / r) + (1 - rho) * math.log((1 - rho) / (1 - r)) for r in rh)
    return se, wd, kl, rh


th = [v for M in (W1, W2) for r in M for v in r] + b1 + b2
se, wd, kl, rh = J(th)
m = len(X)
A = [[sig(sum(p * q for p, q in zip(W1[j], x)) + b1[j]) for j in range(2)] for x in X]
O = [[sig(sum(p * q for p, q in zip(W2[i], a)) + b2[i]) for i in range(3)] for a in A]
d3 = [[(o - x) * o * (1 - o) for o, x in zip(oo, xx)] for oo, xx in zip(O, X)]
sp = [beta * (-rho / r + (1 - rho) / (1 - r)) for r in rh]
d2 = [[(sum(W2[i][j] * d[i] for i in range(3)) + sp[j]) * a[j] * (1 - a[j]) for j in range(2)]
      for d, a in zip(d3, A)]
gW1 = [[sum(d2[n][j] * X[n][i] for n in range(m)) / m + lam * W1[j][i] for i in range(3)] for j in range(2)]
gW2 = [[sum(d3[n][i] * A[n][j] for n in range(m)) / m + lam * W2[i][j] for j in range(2)] for i in range(3)]
gb1 = [sum(d2[n][j] for n in range(m)) / m for j in range(2)]
gb2 = [sum(d3[n][i] for n in range(m)) / m for i in range(3)]

# The golden gradient against central differences of the golden objective.
g = [v for M in (gW1, gW2) for r in M for v in r] + gb1 + gb2
fd = []
for i in range(len(th)):
    e, p, q = 1e-5, th[:], th[:]
    p[i] += e
    q[i] -= e
    fd.append((sum(J(p)[:3]) - sum(J(q)[:3])) / (2 * e))
norm = lambda v: math.sqrt(sum(x * x for x in v))
error = norm([a - b for a, b in zip(fd, g)]) / norm([a + b for a, b in zip(fd, g)])
print(f"gradient against central differences: {error:.1e}", file=stderr)
assert error < 1e-9

const("X", X, "Samples are rows.")
const("W1", W1, "Units x visible.")
const("B1", b1, "One per unit.")
const("W2", W2, "Visible x units.")
const("B2", b2, "One per visible.")
const("LAMBDA", lam, "Weight decay.")
const("BETA", beta, "Weight of the penalty.")
const("RHO", rho, "Sparsity target.")
const("RHO_HAT", rh, "Mean activation of each unit.")
const("J_RECONSTRUCTION", se, "1/m sum 1/2 |o - x|^2")
const("J_DECAY", wd, "lambda/2 sum W^2")
const("J_SPARSITY", kl, "beta sum KL")
const("J", se + wd + kl, "The objective.")
const("GRADIENT_W1", gW1, "dJ/dW1")
const("GRADIENT_B1", gb1, "dJ/db1")
const("GRADIENT_W2", gW2, "dJ/dW2")
const("GRADIENT_B2", gb2, "dJ/db2")

# ---------- The cost of MATLAB's trainAutoencoder: mean |o - x|^2 + lambda 1/2 sum W^2 + beta sum KL
E = lambda lam_m, beta_m: (
    sum(sum((p - q) ** 2 for p, q in zip(o, x)) for o, x in zip(O, X)) / m
    + lam_m * (wd / lam)
    + beta_m * (kl / beta)
)
const("MATLAB_E", E(2 * lam, 2 * beta), "MATLAB's cost for twice the decay and twice the weight.")

# ---------- The Kullback-Leibler divergence
KL = lambda p, q: p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
dKL = lambda p, q: -p / q + (1 - p) / (1 - q)
const("KL", [[p, q, KL(p, q), dKL(p, q)] for p, q in ((0.05, 0.2), (0.1, 0.1), (0.01, 0.5), (0.1, 0.001))],
      "rho, rho_hat, divergence, its derivative by rho_hat.")
# tanh is mapped from [-1, 1] to [0, 1]: q = (mean + 1) / 2, hence a factor 1/2 in the derivative.
const("KL_TANH", [0.1, -0.5, KL(0.1, 0.25), 0.5 * dKL(0.1, 0.25)],
      "rho, mean, divergence, its derivative by the mean.")

# ---------- TopK with k = 2: Gao et al. 2024, z = (x - b_dec) W_enc + b_enc, o = f W_dec + b_dec
Xs = [[1.0, -0.5, 2.0], [0.3, 1.2, -0.7], [-1.0, 0.8, 0.4]]
We = [[0.6, -0.2, 0.3, 0.1], [-0.4, 0.5, 0.2, -0.7], [0.8, 0.1, -0.5, 0.4]]
Wd = [[0.7, -0.3, 0.6], [-0.1, 0.9, 0.2], [0.4, 0.3, -0.8], [0.2, -0.6, 0.5]]
be = [0.6, 0.45, 0.5, 0.7]
bd = [0.1, -0.2, 0.05]
Z = [[sum((x[i] - bd[i]) * We[i][j] for i in range(3)) + be[j] for j in range(4)] for x in Xs]
F = []
for z in Z:
    kept = sorted(range(4), key=lambda j: (-z[j], j))[:2]
    F.append([max(z[j], 0.0) if j in kept else 0.0 for j in range(4)])
Xh = [[sum(f[j] * Wd[j][i] for j in range(4)) + bd[i] for i in range(3)] for f in F]
const("TOPK_X", Xs, "Samples are rows.")
const("TOPK_W_ENC", We, "Visible x units.")
const("TOPK_W_DEC", Wd, "Units x visible.")
const("TOPK_B_ENC", be, "One per unit.")
const("TOPK_B_DEC", bd, "One per visible; subtracted from the samples, too.")
const("TOPK_F", F, "Hidden activations.")
const("TOPK_X_HAT", Xh, "Reconstructions.")
const("TOPK_ERROR", mean([sum((a - b) ** 2 for a, b in zip(x, o)) for x, o in zip(Xs, Xh)]),
      "Mean over the samples of |o - x|^2.")

# ---------- BatchTopK with k = 2, on the model of TopK: Bussmann et al. 2024
decode = lambda F: [[sum(f[j] * Wd[j][i] for j in range(4)) + bd[i] for i in range(3)] for f in F]
error = lambda F, X: mean([sum((a - b) ** 2 for a, b in zip(x, o)) for x, o in zip(X, decode(F))])
flat = sorted(((max(Z[n][j], 0.0), -n, -j) for n in range(3) for j in range(4)), reverse=True)[:6]
Fb = [[Z[n][j] if (Z[n][j], -n, -j) in flat else 0.0 for j in range(4)] for n in range(3)]
const("BATCH_TOPK_ERROR", error(Fb, Xs), "Mean over the samples of |o - x|^2, of the six largest of the batch.")
const("BATCH_TOPK_SMALLEST", min(v for v, _, _ in flat if v > 0), "The smallest activation above 0.")

# ---------- Matryoshka, the same with prefixes of two units and of all: Bussmann et al. 2025
const("MATRYOSHKA_ERROR", error([f[:2] + [0.0, 0.0] for f in Fb], Xs) + error(Fb, Xs),
      "Sum over the prefixes of the mean of |o - x|^2.")

# ---------- L1 weighed by the norms of the decoder, on the model of TopK: Conerly et al. 2024
const("WEIGHTED_L1", mean([sum(max(z, 0.0) * norm(d) for z, d in zip(r, Wd)) for r in Z]),
      "1/m sum over samples and units of h |d|, of ReLU units.")

# ---------- JumpReLU, on the same model without the subtraction: Rajamanoharan et al. 2024
theta, eps, target = [0.3, 0.15, 0.25, 0.4], 0.5, 1.0
Zj = [[sum(x[i] * We[i][j] for i in range(3)) + be[j] for j in range(4)] for x in Xs]
Fj = [[z if z > t else 0.0 for z, t in zip(r, theta)] for r in Zj]
K = lambda u: 1.0 if -0.5 < u < 0.5 else 0.0
G = [[2 * sum((decode(Fj)[n][i] - Xs[n][i]) * Wd[j][i] for i in range(3)) / 3 for j in range(4)] for n in range(3)]
of_error = [sum(-theta[j] / eps * K((Zj[n][j] - theta[j]) / eps) * G[n][j] for n in range(3)) for j in range(4)]
of_l0 = [sum(-1 / eps * K((Zj[n][j] - theta[j]) / eps) / 3 for n in range(3)) for j in range(4)]
l0 = mean([sum(v > 0 for v in f) for f in Fj])
const("JUMP_THRESHOLDS", theta, "One per unit.")
const("JUMP_BANDWIDTH", eps, "Of the pseudo-gradient.")
const("JUMP_F", Fj, "Hidden activations.")
const("JUMP_ERROR", error(Fj, Xs), "Mean over the samples of |o - x|^2.")
const("JUMP_L0", l0, "Mean number of active units.")
const("JUMP_OF_ERROR", of_error, "Pseudo-gradient of the error by the thresholds.")
const("JUMP_OF_L0", of_l0, "Pseudo-gradient of L0 by the thresholds.")
const("JUMP_TARGET", (l0 / target - 1) ** 2, "Squared excess over an L0 of 1.")
const("JUMP_OF_TARGET", [2 * (l0 / target - 1) / target * g for g in of_l0], "Its pseudo-gradient.")

# ---------- AuxK, on the model of TopK with k = 1: Gao et al. 2024, section 2.4. Units 1, 2, and 3 are dead, two of
# them are kept, and the residual is a constant.
dead, kept_of_dead = [1, 2, 3], 2


def auxk(We, Wd, be, bd, residual=None):
    """1/m sum 1/2 |e_hat - e|^2, for e the residual of these parameters or a constant one."""
    Z = [[sum((x[i] - bd[i]) * We[i][j] for i in range(3)) + be[j] for j in range(4)] for x in Xs]
    if residual is None:
        best = [max(range(4), key=lambda j: (z[j], -j)) for z in Z]
        residual = [[x[i] - z[b] * Wd[b][i] - bd[i] for i in range(3)] for x, z, b in zip(Xs, Z, best)]
    total = 0.0
    for z, e in zip(Z, residual):
        largest = sorted(dead, key=lambda j: (-z[j], j))[:kept_of_dead]
        e_hat = [sum(max(z[j], 0.0) * Wd[j][i] for j in largest) for i in range(3)]
        total += sum((a - b) ** 2 for a, b in zip(e_hat, e)) / 2 / len(Xs)
    return total, residual


auxiliary, residual = auxk(We, Wd, be, bd)


def derivative(row, k):
    def at(step):
        value = row[k]
        row[k] = value + step
        result = auxk(We, Wd, be, bd, residual)[0]
        row[k] = value
        return result

    # Between kinks it is a polynomial of degree 4: this difference of order 4 is exact but for rounding.
    step = 1e-2
    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)


const("AUXK_ERROR", 2 * auxiliary, "Mean over the samples of |e_hat - e|^2.")
const("AUXK_OF_W_ENC", [[derivative(We[i], j) for j in range(4)] for i in range(3)],
      "Derivative of half of it by W_enc, the residual taken as constant.")
const("AUXK_OF_W_DEC", [[derivative(Wd[j], i) for i in range(3)] for j in range(4)], "The same by W_dec.")
const("AUXK_OF_B_ENC", [derivative(be, j) for j in range(4)], "The same by b_enc.")
const("AUXK_OF_B_DEC", [derivative(bd, i) for i in range(3)], "The same by b_dec, through the encoder alone.")

# ---------- Gated units, on the model of TopK without its encoder bias: Rajamanoharan et al. 2024
bg, rm, bm, l1, decay = [0.0, 0.1, -0.1, 0.05], [0.1, -0.2, 0.0, 0.3], [0.02, -0.03, 0.1, 0.0], 0.3, 0.02
start = [v for M in (We, Wd) for r in M for v in r] + bg + rm + bm + bd


def gated(th, frozen):
    """The terms at th; the decoder that the gates are seen through is that of frozen."""
    of = lambda th: ([th[4 * i:4 * i + 4] for i in range(3)], [th[12 + 3 * j:15 + 3 * j] for j in range(4)],
                     th[24:28], th[28:32], th[32:36], th[36:39])
    (we, wd, b, r, mag, c), (_, wd_frozen, _, _, _, c_frozen) = of(th), of(frozen)
    recon = aux = open_by = weighted = 0.0
    hidden = []
    for x in Xs:
        u = [sum((x[i] - c[i]) * we[i][j] for i in range(3)) for j in range(4)]
        pi = [u[j] + b[j] for j in range(4)]
        f = [(1.0 if pi[j] > 0 else 0.0) * max(math.exp(r[j]) * u[j] + mag[j], 0.0) for j in range(4)]
        g = [max(p, 0.0) for p in pi]
        o = [sum(f[j] * wd[j][i] for j in range(4)) + c[i] for i in range(3)]
        of_gates = [sum(g[j] * wd_frozen[j][i] for j in range(4)) + c_frozen[i] for i in range(3)]
        recon += 0.5 * sum((p - q) ** 2 for p, q in zip(o, x)) / 3
        aux += 0.5 * sum((p - q) ** 2 for p, q in zip(of_gates, x)) / 3
        open_by += sum(g) / 3
        weighted += sum(v * norm(d) for v, d in zip(g, wd)) / 3
        hidden.append(f)
    wd_term = decay / 2 * sum(v * v for v in th[:24])
    return recon, aux, wd_term, open_by, weighted, hidden


def of_gated(penalty):
    """Central differences of the objective with a penalty, by all of start."""
    total = lambda th: sum((lambda t: (t[0], t[1], t[2], l1 * t[penalty]))(gated(th, start)))
    fd = []
    for i in range(len(start)):
        e, p, q = 1e-5, start[:], start[:]
        p[i] += e
        q[i] -= e
        fd.append((total(p) - total(q)) / (2 * e))
    return fd


recon, aux, wd_term, open_by, weighted, hidden = gated(start, start)
const("GATED_B_GATE", bg, "One per unit.")
const("GATED_R_MAG", rm, "One per unit.")
const("GATED_B_MAG", bm, "One per unit.")
const("GATED_WEIGHT", l1, "Weight of the penalty.")
const("GATED_DECAY", decay, "Weight decay.")
const("GATED_F", hidden, "Hidden activations.")
const("GATED_RECONSTRUCTION", recon, "1/m sum 1/2 |o - x|^2")
const("GATED_AUXILIARY", aux, "The same from the gates alone.")
const("GATED_WEIGHT_DECAY", wd_term, "decay/2 sum W^2")
const("GATED_L1", open_by, "1/m sum of what the gates let through.")
const("GATED_WEIGHTED_L1", weighted, "The same, times |d|.")
of = "by W_enc, W_dec, b_gate, r_mag, b_mag, and b_dec, by central differences, the decoder of the gates fixed."
const("GATED_OF_L1", of_gated(3), f"Gradient with L1 {of}")
const("GATED_OF_WEIGHTED_L1", of_gated(4), f"Gradient with L1 times |d| {of}")

print("// Written by generate.py. Do not edit.\n")
print("\n".join(out))
