//! The vector instructions that loops are compiled for. One source is compiled once for each set; no operation is fused
//! or reordered, so that all sets give the same bits.

use pulp::{NullaryFnOnce, Simd, WithSimd};

/// A set of vector instructions.
#[derive(Clone, Copy, Debug)]
pub struct InstructionSet(Set);

#[derive(Clone, Copy, Debug)]
enum Set {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
}

impl InstructionSet {
    /// Returns the sets that this CPU has, the narrowest first: what the build guarantees (SSE2, NEON), AVX2 (x86-64-v3)
    /// and AVX-512 (x86-64-v4).
    pub fn available() -> Vec<Self> {
        let mut sets = vec![Set::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(pulp::x86::V3::try_new().map(Set::Avx2));
            sets.extend(pulp::x86::V4::try_new().map(Set::Avx512));
        }
        sets.into_iter().map(Self).collect()
    }

    /// Returns the widest set that this CPU has.
    pub fn detect() -> Self {
        *Self::available().last().expect("the baseline is always there")
    }

    /// Runs a closure that is compiled for this set with its callees. All of them must be `#[inline(always)]`, the closure
    /// too: otherwise the compiler keeps one copy of it for the baseline.
    #[inline(always)]
    pub(crate) fn run<R>(self, body: impl FnOnce() -> R) -> R {
        match self.0 {
            Set::Baseline => body(),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(token) => token.vectorize(Body(body)),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(token) => token.vectorize(Body(body)),
        }
    }

    /// Runs an operation that is written in vectors of this set. For the baseline they have 128 bits.
    #[inline(always)]
    pub(crate) fn dispatch<O: WithSimd>(self, operation: O) -> O::Output {
        match self.0 {
            Set::Baseline => pulp::Scalar128b.vectorize(operation),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(token) => Simd::vectorize(token, operation),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(token) => Simd::vectorize(token, operation),
        }
    }
}

struct Body<F>(F);

impl<R, F: FnOnce() -> R> NullaryFnOnce for Body<F> {
    type Output = R;

    #[inline(always)]
    fn call(self) -> R {
        (self.0)()
    }
}
