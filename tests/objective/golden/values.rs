// Written by generate.py. Do not edit.

/// Samples are rows.
pub(crate) const X: [[f64; 3]; 4] = [[0.1, 0.9, 0.3], [0.8, 0.2, 0.5], [0.4, 0.4, 0.9], [0.6, 0.7, 0.1]];
/// Units x input.
pub(crate) const W1: [[f64; 3]; 2] = [[0.2, -0.3, 0.4], [0.5, 0.1, -0.2]];
/// One per unit.
pub(crate) const B1: [f64; 2] = [0.05, -0.1];
/// Input x units.
pub(crate) const W2: [[f64; 2]; 3] = [[0.3, -0.6], [0.1, 0.7], [-0.4, 0.2]];
/// One per input.
pub(crate) const B2: [f64; 3] = [0.0, 0.1, -0.05];
/// Weight decay.
pub(crate) const LAMBDA: f64 = 0.01;
/// Weight of the penalty.
pub(crate) const BETA: f64 = 3.0;
/// Sparsity target.
pub(crate) const RHO: f64 = 0.1;
/// Mean activation of each unit.
pub(crate) const RHO_HAT: [f64; 2] = [0.5395218042986321, 0.525489308943262];
/// 1/m sum 1/2 |o - x|^2
pub(crate) const J_RECONSTRUCTION: f64 = 0.11934325715014696;
/// lambda/2 sum W^2
pub(crate) const J_DECAY: f64 = 0.0087;
/// beta sum KL
pub(crate) const J_SPARSITY: f64 = 2.5342458531229783;
/// The objective.
pub(crate) const J: f64 = 2.662289110273125;
/// dJ/dW1
pub(crate) const GRADIENT_W1: [[f64; 3]; 2] = [[0.6187885672764911, 0.7191463589009416, 0.5883810350779327], [0.6132755076592017, 0.6982336836401727, 0.573716359788701]];
/// dJ/db1
pub(crate) const GRADIENT_B1: [f64; 2] = [1.3051225849672303, 1.2744856214641231];
/// dJ/dW2
pub(crate) const GRADIENT_W2: [[f64; 2]; 3] = [[-0.0004985493187000009, -0.009503915226712288], [0.013672174030374865, 0.017053519751347175], [-0.005676847303605209, 0.004785582705727036]];
/// dJ/db2
pub(crate) const GRADIENT_B2: [f64; 3] = [-0.0032565687699949606, 0.017935019073238113, 0.002585396602407704];
/// MATLAB's cost for twice the decay and twice the weight.
pub(crate) const MATLAB_E: f64 = 5.32457822054625;
/// rho, rho_hat, divergence, its derivative by rho_hat.
pub(crate) const KL: [[f64; 4]; 4] = [[0.05, 0.2, 0.09394302602433154, 0.9374999999999998], [0.1, 0.1, 0.0, 0.0], [0.01, 0.5, 0.637145646205098, 1.96], [0.1, 0.001, 0.36659300480699075, -99.09909909909909]];
/// rho, mean, divergence, its derivative by the mean.
pub(crate) const KL_TANH: [f64; 4] = [0.1, -0.5, 0.07246032792714363, 0.39999999999999997];
/// Samples are rows.
pub(crate) const TOPK_X: [[f64; 3]; 3] = [[1.0, -0.5, 2.0], [0.3, 1.2, -0.7], [-1.0, 0.8, 0.4]];
/// Input x units.
pub(crate) const TOPK_W_ENC: [[f64; 4]; 3] = [[0.6, -0.2, 0.3, 0.1], [-0.4, 0.5, 0.2, -0.7], [0.8, 0.1, -0.5, 0.4]];
/// Units x input.
pub(crate) const TOPK_W_DEC: [[f64; 3]; 4] = [[0.7, -0.3, 0.6], [-0.1, 0.9, 0.2], [0.4, 0.3, -0.8], [0.2, -0.6, 0.5]];
/// One per unit.
pub(crate) const TOPK_B_ENC: [f64; 4] = [0.6, 0.45, 0.5, 0.7];
/// One per input; subtracted from the samples, too.
pub(crate) const TOPK_B_DEC: [f64; 3] = [0.1, -0.2, 0.05];
/// Hidden activations.
pub(crate) const TOPK_F: [[f64; 4]; 3] = [[2.8200000000000003, 0.0, 0.0, 1.78], [0.0, 1.035, 1.2149999999999999, 0.0], [0.0, 1.205, 0.19499999999999995, 0.0]];
/// Reconstructions.
pub(crate) const TOPK_X_HAT: [[f64; 3]; 3] = [[2.43, -2.1140000000000003, 2.632], [0.48250000000000004, 1.0959999999999999, -0.715], [0.05749999999999998, 0.9430000000000001, 0.13500000000000006]];
/// Mean over the samples of |o - x|^2.
pub(crate) const TOPK_ERROR: f64 = 2.1008825000000004;
/// Mean over the samples of |o - x|^2, of the six largest of the batch.
pub(crate) const BATCH_TOPK_ERROR: f64 = 1.7439487499999997;
/// The smallest activation above 0.
pub(crate) const BATCH_TOPK_SMALLEST: f64 = 0.315;
/// Sum over the prefixes of the mean of |o - x|^2.
pub(crate) const MATRYOSHKA_ERROR: f64 = 2.877159583333333;
/// 1/m sum over samples and units of h |d|, of ReLU units.
pub(crate) const WEIGHTED_L1: f64 = 2.630986985747994;
/// One per unit.
pub(crate) const JUMP_THRESHOLDS: [f64; 4] = [0.3, 0.15, 0.25, 0.4];
/// Of the pseudo-gradient.
pub(crate) const JUMP_BANDWIDTH: f64 = 0.5;
/// Hidden activations.
pub(crate) const JUMP_F: [[f64; 4]; 3] = [[3.0000000000000004, 0.2, 0.0, 1.95], [0.0, 0.92, 1.18, 0.0], [0.0, 1.09, 0.0, 0.0]];
/// Mean over the samples of |o - x|^2.
pub(crate) const JUMP_ERROR: f64 = 2.273705000000001;
/// Mean number of active units.
pub(crate) const JUMP_L0: f64 = 2.0;
/// Pseudo-gradient of the error by the thresholds.
pub(crate) const JUMP_OF_ERROR: [f64; 4] = [0.0, 0.28300000000000003, -0.16543333333333335, -0.07658666666666664];
/// Pseudo-gradient of L0 by the thresholds.
pub(crate) const JUMP_OF_L0: [f64; 4] = [0.0, -0.6666666666666666, -0.6666666666666666, -0.6666666666666666];
/// Squared excess over an L0 of 1.
pub(crate) const JUMP_TARGET: f64 = 1.0;
/// Its pseudo-gradient.
pub(crate) const JUMP_OF_TARGET: [f64; 4] = [0.0, -1.3333333333333333, -1.3333333333333333, -1.3333333333333333];
/// Mean over the samples of |e_hat - e|^2.
pub(crate) const AUXK_ERROR: f64 = 2.6944267500000003;
/// Derivative of half of it by W_enc, the residual taken as constant.
pub(crate) const AUXK_OF_W_ENC: [[f64; 4]; 3] = [[0.0, -0.730434999999996, -0.2038150000000109, 0.4276499999999887], [0.0, 0.44134000000000306, 0.7838200000000184, -0.14255000000001167], [0.0, -0.654049166666687, -0.19485833333332353, 0.926575000000011]];
/// The same by W_dec.
pub(crate) const AUXK_OF_W_DEC: [[f64; 3]; 4] = [[0.0, 0.0, 0.0], [0.7538366666666612, 0.44321583333333064, -0.27717999999998433], [0.33164749999999854, 0.18529000000000462, -0.4012950000000015], [0.8297766666666725, -0.789430000000004, 0.41236666666666183]];
/// The same by b_enc.
pub(crate) const AUXK_OF_B_ENC: [f64; 4] = [0.0, -0.0739500000000004, 0.6324666666666627, 0.47516666666667284];
/// The same by b_dec, through the encoder alone.
pub(crate) const AUXK_OF_B_DEC: [f64; 3] = [-0.25204666666667397, 0.24309833333333772, 0.1335616666666743];
/// One per unit.
pub(crate) const GATED_B_GATE: [f64; 4] = [0.0, 0.1, -0.1, 0.05];
/// One per unit.
pub(crate) const GATED_R_MAG: [f64; 4] = [0.1, -0.2, 0.0, 0.3];
/// One per unit.
pub(crate) const GATED_B_MAG: [f64; 4] = [0.02, -0.03, 0.1, 0.0];
/// Weight of the penalty.
pub(crate) const GATED_WEIGHT: f64 = 0.3;
/// Weight decay.
pub(crate) const GATED_DECAY: f64 = 0.02;
/// Hidden activations.
pub(crate) const GATED_F: [[f64; 4]; 3] = [[2.473479438127938, 0.0, 0.0, 1.4578475121820835], [0.0, 0.4489574905506193, 0.815, 0.0], [0.0, 0.5881417185738762, 0.0, 0.0]];
/// 1/m sum 1/2 |o - x|^2
pub(crate) const GATED_RECONSTRUCTION: f64 = 0.8383753799175839;
/// The same from the gates alone.
pub(crate) const GATED_AUXILIARY: f64 = 0.5828097916666667;
/// decay/2 sum W^2
pub(crate) const GATED_WEIGHT_DECAY: f64 = 0.0584;
/// 1/m sum of what the gates let through.
pub(crate) const GATED_L1: f64 = 1.8350000000000002;
/// The same, times |d|.
pub(crate) const GATED_WEIGHTED_L1: f64 = 1.6905773567261353;
/// Gradient with L1 by W_enc, W_dec, b_gate, r_mag, b_mag, and b_dec, by central differences, the decoder of the gates
/// fixed.
pub(crate) const GATED_OF_L1: [f64; 39] = [0.8151459814031979, 0.13893546433330073, -0.030528198391444047, 0.7889154958196086, -0.2757153271470969, -0.4824113661427986, -0.2516973886645957, -0.2763051652365789, 1.7561496263640561, 0.11379919864218378, 0.12698074391970238, 1.7129835743423525, 0.9399100154405814, -1.0916532783511457, 0.22885111228276853, 0.21425906111538492, -0.1867286468115736, -0.013452355185350482, 0.030033321518629915, -0.19814072689250392, 0.03501669032512922, 0.5497234015106045, -0.6518747070582975, 0.13781018091130193, 0.3991333333397406, -0.06751666665749667, -0.06823333333905168, 0.3586333333416291, 1.095017420960076, -0.2215826060858461, -0.08180147585967745, 0.5569745950673166, 0.44631204314526934, -0.40701489338879066, -0.11440765854686673, 0.38205271155611337, 0.10020786223030596, 0.3596158084873124, -1.0420826073831435];
/// Gradient with L1 times |d| by W_enc, W_dec, b_gate, r_mag, b_mag, and b_dec, by central differences, the decoder of the gates fixed.
pub(crate) const GATED_OF_WEIGHTED_L1: [f64; 39] = [0.8124042188306645, 0.1454728978500519, -0.031660236132768915, 0.7714758155530353, -0.2748014062747828, -0.49984452223927883, -0.2596216527983586, -0.2704919385032589, 1.7502091408050366, 0.11670472466196456, 0.13122588544689506, 1.6751976004258926, 1.1001928771015024, -1.160345933337581, 0.36623642227784353, 0.19765281403794074, -0.037272423158984935, 0.019760138969537877, 0.05610926936405746, -0.17858376599733103, -0.01713520536572588, 0.5777552515295881, -0.7359702571263503, 0.20788980596986303, 0.39608693049864024, -0.08204429674529834, -0.07389352201236932, 0.3392559108306159, 1.0950174209378716, -0.22158260606364164, -0.08180147585967745, 0.5569745950451122, 0.44631204314526934, -0.40701489338879066, -0.11440765855796896, 0.3820527115339089, 0.10276597679492737, 0.35322890434841264, -1.0332718474392877];
