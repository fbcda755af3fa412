//! Detects the instructions that this CPU offers to the kernels, once, at run time.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::amx;

/// The instruction set that the kernels use, in ascending order. Each one includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust, on any CPU.
    Portable,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512 with bf16 dot products (Zen 4, Cooper Lake, Sapphire Rapids).
    Avx512Bf16,
    /// AMX tiles with bf16 (Sapphire Rapids and later).
    Amx,
}

const ALL: [(Isa, &str); 5] = [
    (Isa::Portable, "portable"),
    (Isa::Avx2, "avx2"),
    (Isa::Avx512, "avx512"),
    (Isa::Avx512Bf16, "avx512-bf16"),
    (Isa::Amx, "amx"),
];

impl Isa {
    /// Returns the best set that this CPU and its operating system offer. `DQA_CPU_ISA` (`portable`, `avx2`, `avx512`,
    /// `avx512-bf16`, `amx`) lowers it, to measure or to debug a difference. The variable is read once.
    pub fn current() -> Isa {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let best = Isa::detect();
            match std::env::var("DQA_CPU_ISA").ok().map(|name| (Isa::from_str(&name), name)) {
                None => best,
                Some((Ok(wanted), _)) if wanted <= best => wanted,
                Some((Ok(wanted), _)) => {
                    tracing::warn!(%wanted, %best, "DQA_CPU_ISA asks for more than this CPU has");
                    best
                }
                Some((Err(_), name)) => {
                    tracing::warn!(name, %best, "unknown instruction set in DQA_CPU_ISA");
                    best
                }
            }
        })
    }

    /// Returns every set that this CPU can run, in ascending order.
    pub fn available() -> impl Iterator<Item = Isa> {
        let best = Isa::detect();
        ALL.into_iter().map(|(isa, _)| isa).filter(move |isa| *isa <= best)
    }

    #[cfg(target_arch = "x86_64")]
    fn detect() -> Isa {
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
            return Isa::Portable;
        }
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if !avx512 {
            return Isa::Avx2;
        }
        if !is_x86_feature_detected!("avx512bf16") {
            return Isa::Avx512;
        }
        if amx::usable() { Isa::Amx } else { Isa::Avx512Bf16 }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn detect() -> Isa {
        Isa::Portable
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = ALL[*self as usize];
        f.write_str(name)
    }
}

impl FromStr for Isa {
    type Err = ();

    fn from_str(name: &str) -> Result<Isa, ()> {
        ALL.into_iter().find(|(_, n)| *n == name).map(|(isa, _)| isa).ok_or(())
    }
}
