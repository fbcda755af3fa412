//! Evaluates metrics on one picture. What several of them need (the gray levels, the visible edges) is computed once.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::brisque::{self, brisque};
use crate::ciede2000::ciede2000;
use crate::contrast_indicators::{EdgePicture, black_share, gradient_ratio, new_edge_rate, saturated_share};
use crate::entropy::entropy;
use crate::fade::{self, fade};
use crate::fsimc::fsimc;
use crate::gmsd::gmsd;
use crate::gray::{gray_levels, level_plane};
use crate::instruction_set::InstructionSet;
use crate::metric::Metric;
use crate::ms_ssim::ms_ssim;
use crate::niqe::{self, niqe};
use crate::parameters::Parameters;
use crate::phase_congruency::FilterCache;
use crate::piqe::piqe;
use crate::psnr::psnr;
use crate::reference_kind::ReferenceKind;
use crate::rgb_view::RgbView;
use crate::ssim::{ssim, ssim_full};
use crate::undefined::Undefined;
use crate::vifp::vifp;

/// The picture to measure and the pictures to compare it with.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// The picture to measure.
    pub picture: RgbView<'a>,
    /// The same scene without haze.
    pub clear: Option<RgbView<'a>>,
    /// The picture before it was dehazed.
    pub hazy: Option<RgbView<'a>>,
}

/// What a metric says of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The value, or why there is none.
    pub value: Result<f64, Undefined>,
    /// Share of the windows in which all gray levels are equal, 0 to 1: for NIQE, BRISQUE and FADE, whose published
    /// implementations return rounding noise there.
    pub flat_share: Option<f64>,
}

/// Computes metrics with given parameters and instructions.
#[derive(Clone, Debug)]
pub struct Evaluator {
    instructions: InstructionSet,
    parameters: Arc<Parameters>,
    /// Shared by the clones, which are those of the threads.
    fsimc_filters: Arc<FilterCache>,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::with_instructions(InstructionSet::detect())
    }
}

impl Evaluator {
    /// Uses the given vector instructions. Values do not depend on them.
    pub fn with_instructions(instructions: InstructionSet) -> Self {
        Self { instructions, parameters: Arc::default(), fsimc_filters: Arc::default() }
    }

    /// Uses other parameters than the published ones.
    #[must_use]
    pub fn with_parameters(self, parameters: Parameters) -> Self {
        Self { parameters: Arc::new(parameters), ..self }
    }

    /// Returns the parameters in use.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Measures a picture by each of `metrics`, in their order.
    pub fn evaluate(&self, metrics: &[Metric], inputs: &Inputs<'_>) -> Vec<Measurement> {
        let levels = self.levels(&inputs.picture);
        let shared = Shared { levels, clear_levels: OnceCell::new(), edges: OnceCell::new() };
        metrics
            .iter()
            .map(|metric| match check_reference(*metric, inputs) {
                Err(undefined) => Measurement { value: Err(undefined), flat_share: None },
                Ok(reference) => self.measure(*metric, inputs, &shared, reference),
            })
            .collect()
    }

    fn measure(
        &self,
        metric: Metric,
        inputs: &Inputs<'_>,
        shared: &Shared,
        reference: Option<RgbView<'_>>,
    ) -> Measurement {
        let width = inputs.picture.width();
        let reference = || reference.expect("the reference was checked");
        let levels = &shared.levels;
        let clear_levels = || shared.clear_levels.get_or_init(|| self.levels(&reference())).as_slice();
        let edges = || shared.edges.get_or_init(|| self.edge_pictures(&reference(), &inputs.picture));
        // A closure for each metric: one for all would be a function that takes minutes to compile.
        macro_rules! run {
            ($value:expr) => {
                self.instructions.run(
                    #[inline(always)]
                    || $value,
                )
            };
        }
        let value = match metric {
            Metric::PsnrRgb => run!(psnr(inputs.picture.samples(), reference().samples())),
            Metric::PsnrGray => run!(psnr(levels, clear_levels())),
            Metric::Ssim => run!(ssim(&level_plane(levels, width), &level_plane(clear_levels(), width))),
            Metric::SsimFull => run!(ssim_full(&level_plane(levels, width), &level_plane(clear_levels(), width))),
            Metric::MsSsim => run!(ms_ssim(&level_plane(levels, width), &level_plane(clear_levels(), width))),
            Metric::Gmsd => run!(Ok(gmsd(levels, clear_levels(), width))),
            Metric::Niqe => run!(niqe(levels, width, &self.parameters.niqe)),
            Metric::Brisque => run!(brisque(levels, width, &self.parameters.brisque)),
            Metric::Fade => run!(fade(&inputs.picture, &self.parameters.fade)),
            Metric::Piqe => run!(Ok(piqe(levels, width))),
            Metric::Ciede2000 => run!(Ok(ciede2000(&inputs.picture, &reference()))),
            Metric::Vifp => run!(vifp(&level_plane(levels, width), &level_plane(clear_levels(), width))),
            Metric::Fsimc => fsimc(self.instructions, &self.fsimc_filters, &inputs.picture, &reference()),
            Metric::Entropy => run!(Ok(entropy(levels))),
            Metric::E => run!(new_edge_rate(edges())),
            Metric::R => run!(gradient_ratio(edges())),
            Metric::Sigma => run!(Ok(black_share(levels))),
            Metric::Sigma255 => run!(Ok(saturated_share(levels))),
        };
        let flat_share = match metric {
            Metric::Niqe => run!(niqe::flat_share(levels, width)),
            Metric::Brisque => run!(Some(brisque::flat_share(levels, width))),
            Metric::Fade => run!(fade::flat_share(levels, width)),
            _ => None,
        };
        Measurement { value, flat_share }
    }

    fn levels(&self, picture: &RgbView<'_>) -> Vec<u8> {
        self.instructions.run(
            #[inline(always)]
            || gray_levels(picture),
        )
    }

    fn edge_pictures(&self, hazy: &RgbView<'_>, dehazed: &RgbView<'_>) -> [EdgePicture; 2] {
        self.instructions.run(
            #[inline(always)]
            || [EdgePicture::new(hazy), EdgePicture::new(dehazed)],
        )
    }
}

/// What several metrics of one picture need.
struct Shared {
    levels: Vec<u8>,
    /// The gray levels of the clear picture; computed by the first metric that asks.
    clear_levels: OnceCell<Vec<u8>>,
    /// The hazy picture and the dehazed one; computed by the first metric that asks.
    edges: OnceCell<[EdgePicture; 2]>,
}

/// Returns the reference that the metric compares with, if it needs one and it has the picture's size.
fn check_reference<'a>(metric: Metric, inputs: &Inputs<'a>) -> Result<Option<RgbView<'a>>, Undefined> {
    let Some(needed) = metric.reference() else { return Ok(None) };
    let given = match needed {
        ReferenceKind::Clear => inputs.clear,
        ReferenceKind::Hazy => inputs.hazy,
    };
    let reference = given.ok_or(Undefined::ReferenceMissing(needed))?;
    if reference.has_size_of(&inputs.picture) {
        return Ok(Some(reference));
    }
    let found = (reference.width(), reference.height());
    let expected = (inputs.picture.width(), inputs.picture.height());
    Err(Undefined::ReferenceSize { reference: needed, found, expected })
}
