//! The one matrix product, and the one unsafe call of the crate.

use nalgebra::{DMatrixView, DMatrixViewMut};

use crate::Real;

/// How many threads a kernel may use: 1, or any number up to that of rayon's current pool.
///
/// The number never changes a bit of the result: work is split over the entries of a result, never
/// over the terms of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threads(pub(crate) usize);

impl Threads {
    /// As many as rayon's current pool has, 1 without rayon.
    pub(crate) fn available() -> Self {
        #[cfg(feature = "rayon")]
        let count = rayon::current_num_threads();
        #[cfg(not(feature = "rayon"))]
        let count = 1;
        Self(count)
    }
}

impl Threads {
    /// Runs a whole pass inside rayon's pool if it is large enough for its parts to be split, so
    /// that they do not have to enter the pool one by one.
    pub(crate) fn enter<R: Send>(
        self,
        multiplications: usize,
        pass: impl FnOnce() -> R + Send,
    ) -> R {
        #[cfg(feature = "rayon")]
        if self.0 > 1 && multiplications >= PARALLEL_FROM && rayon::current_thread_index().is_none()
        {
            return rayon::scope(|_| pass());
        }
        let _ = multiplications;
        pass()
    }
}

/// A matrix, or its transpose, as a factor of a product.
#[derive(Debug)]
pub(crate) struct Factor<'a, T: nalgebra::Scalar> {
    matrix: DMatrixView<'a, T>,
    transposed: bool,
}

impl<'a, T: Real> From<DMatrixView<'a, T>> for Factor<'a, T> {
    fn from(matrix: DMatrixView<'a, T>) -> Self {
        Self {
            matrix,
            transposed: false,
        }
    }
}

/// The transpose of `matrix` as a factor. Nothing is moved: only the strides change roles.
pub(crate) fn transpose<T: Real>(matrix: DMatrixView<'_, T>) -> Factor<'_, T> {
    Factor {
        matrix,
        transposed: true,
    }
}

/// Whether a product replaces what the result held or adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Over,
    Add,
}

/// `out = lhs · rhs`, or `out += lhs · rhs`.
pub(crate) fn product<'a, T: Real>(
    out: DMatrixViewMut<'_, T>,
    write: Write,
    lhs: impl Into<Factor<'a, T>>,
    rhs: impl Into<Factor<'a, T>>,
    threads: Threads,
) {
    let (lhs, rhs) = (lhs.into(), rhs.into());
    T::matrix_product(
        out,
        write == Write::Add,
        (lhs.matrix, lhs.transposed),
        (rhs.matrix, rhs.transposed),
        threads,
    );
}

/// Below this many multiplications, waking a second thread costs more than it saves.
#[cfg(feature = "rayon")]
const PARALLEL_FROM: usize = 1 << 21;

fn parallelism(multiplications: usize, threads: Threads) -> gemm_common::Parallelism {
    #[cfg(feature = "rayon")]
    if threads.0 > 1 && multiplications >= PARALLEL_FROM {
        return gemm_common::Parallelism::Rayon(threads.0);
    }
    let _ = (multiplications, threads);
    gemm_common::Parallelism::None
}

macro_rules! product {
    ($name:ident, $float:ident, $library:ident) => {
        pub(super) fn $name(
            mut out: DMatrixViewMut<'_, $float>,
            accumulate: bool,
            (lhs, lhs_transposed): (DMatrixView<'_, $float>, bool),
            (rhs, rhs_transposed): (DMatrixView<'_, $float>, bool),
            threads: Threads,
        ) {
            // (rows, columns), (row stride, column stride), after the transposition
            let oriented = |matrix: &DMatrixView<'_, $float>, transposed: bool| {
                let ((rows, columns), (down, right)) = (matrix.shape(), matrix.strides());
                if transposed {
                    ((columns, rows), (right, down))
                } else {
                    ((rows, columns), (down, right))
                }
            };
            let ((m, k), (lhs_down, lhs_right)) = oriented(&lhs, lhs_transposed);
            let ((k_rhs, n), (rhs_down, rhs_right)) = oriented(&rhs, rhs_transposed);
            let (out_down, out_right) = out.strides();
            assert!(
                out.shape() == (m, n) && k == k_rhs,
                "the factors of a product do not fit"
            );
            #[allow(clippy::cast_possible_wrap)] // a stride within an allocation fits
            let stride = |stride: usize| stride as isize;

            // SAFETY: `lhs`, `rhs` and `out` are views: for each, every (i, j) below its shape
            // addresses an initialised element at `i · row stride + j · column stride`, which stays
            // within one allocation. The call reads lhs at (i < m, p < k) and rhs at (p < k, j < n)
            // and writes out at (i < m, j < n); the assertion above says that these are the shapes.
            // `out` is an exclusive borrow, so nothing it writes is read through the other two.
            #[allow(unsafe_code)]
            unsafe {
                $library::gemm::$float::get_gemm_fn()(
                    m,
                    n,
                    k,
                    out.as_mut_ptr(),
                    stride(out_right),
                    stride(out_down),
                    accumulate,
                    lhs.as_ptr(),
                    stride(lhs_right),
                    stride(lhs_down),
                    rhs.as_ptr(),
                    stride(rhs_right),
                    stride(rhs_down),
                    1.0, // of out, where it is added to
                    1.0, // of the product
                    false,
                    false,
                    false,
                    parallelism(m * n * k, threads),
                );
            }
        }
    };
}

product!(product_f32, f32, gemm_f32);
product!(product_f64, f64, gemm_f64);
