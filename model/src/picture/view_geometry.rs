//! The parts of a picture that the model sees: the paper's windows by default, and the variants that studies need.
//!
//! Pure geometry. A window is a square of `window` pixels. The model's input has 224 pixels a side; windows of another
//! size are resized to it.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::fragments::Fragments;
use super::origin::{INPUT_SIDE, Origin};

/// The views that one sequence of tokens holds besides the class token and the prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewMode {
    /// A window and the whole picture: the paper's model.
    Both,
    /// A window alone.
    Local,
    /// The whole picture alone: one sequence per picture, no windows.
    Global,
}

/// The positions of the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// All windows on a grid with this step in pixels, row-major, from the upper left corner.
    Stride(u32),
    /// This many windows, spread evenly from edge to edge.
    Grid(u32),
    /// This many windows at random positions, drawn from the seed for each picture: pictures of one size get the same
    /// positions.
    Random {
        /// The number of windows.
        windows: u32,
        /// Seed of ChaCha8.
        seed: u64,
    },
    /// One window of [`Fragments`] with this many cells along a side.
    Fragments(u32),
}

/// How a picture is cut into the model's inputs. Text form: `sees=both,window=224,stride=64`, also `grid=16` or
/// `random=8,seed=1` instead of the stride, or `fragments=7` instead of window and stride (`fragments` alone is the same). A
/// setting that is left out has the paper's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Views {
    /// The views in a sequence: local, global or both.
    pub sees: ViewMode,
    /// Side of a window in pixels.
    pub window: u32,
    /// The positions of the windows.
    pub placement: Placement,
}

impl Default for Views {
    /// Returns the paper's views: 224-pixel windows at stride 64, each with the whole picture.
    fn default() -> Views {
        Views { sees: ViewMode::Both, window: INPUT_SIDE, placement: Placement::Stride(64) }
    }
}

impl Views {
    /// Returns the smallest side that a picture may have: that of a window or of a fragment, or one pixel without windows.
    pub fn side_min(&self) -> u32 {
        match self.sees {
            ViewMode::Global => 1,
            ViewMode::Both | ViewMode::Local => self.fragments().map_or(self.window, Fragments::piece_side),
        }
    }

    /// Returns the fragments if the windows are joined of them.
    pub fn fragments(&self) -> Option<Fragments> {
        match self.placement {
            Placement::Fragments(cells) if self.sees != ViewMode::Global => Some(Fragments { cells }),
            _ => None,
        }
    }

    /// Returns the number of sequences of a picture of this size: at least 1 if both sides are at least
    /// [`Views::side_min`].
    pub fn windows(&self, width: u32, height: u32) -> usize {
        self.origins(width, height).len()
    }

    /// Returns the windows of a picture of this size, in the order of their scores. [`ViewMode::Global`] has one, at
    /// (0, 0), and so have fragments: it is the place in the joined window. Pixels to the right of the last window and below
    /// it are seen by the global view only, as in the paper.
    pub fn origins(&self, width: u32, height: u32) -> Vec<Origin> {
        if width < self.side_min() || height < self.side_min() {
            return Vec::new();
        }
        if self.sees == ViewMode::Global || self.fragments().is_some() {
            return vec![Origin { x: 0, y: 0 }];
        }
        let (free_x, free_y) = (width - self.window, height - self.window);
        match self.placement {
            // REFERENCE: whole windows only, row-major: no window is moved inwards to reach the right and lower edges.
            Placement::Stride(stride) => {
                let row = |y| (0..=free_x / stride).map(move |i| Origin { x: i * stride, y });
                (0..=free_y / stride).flat_map(|j| row(j * stride)).collect()
            }
            Placement::Grid(windows) => {
                let (columns, rows) = grid_shape(windows, width, height);
                let row = |y| (0..columns).map(move |i| Origin { x: spread(i, columns, free_x), y });
                (0..rows).flat_map(|j| row(spread(j, rows, free_y))).collect()
            }
            Placement::Random { windows, seed } => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut draw = || Origin { x: rng.random_range(0..=free_x), y: rng.random_range(0..=free_y) };
                (0..windows).map(|_| draw()).collect()
            }
            Placement::Fragments(_) => unreachable!("they are one window"),
        }
    }
}

/// Returns the factors (columns, rows) of `windows` whose ratio is nearest to the picture's aspect ratio.
fn grid_shape(windows: u32, width: u32, height: u32) -> (u32, u32) {
    let aspect = f64::from(width) / f64::from(height);
    let unlike = |columns: u32| (f64::from(columns * columns) / f64::from(windows) / aspect).ln().abs();
    let columns = (1..=windows)
        .filter(|columns| windows.is_multiple_of(*columns))
        .min_by(|a, b| unlike(*a).total_cmp(&unlike(*b)))
        .expect("1 divides every number of windows");
    (columns, windows / columns)
}

/// Returns position `i` of `count` over `free` pixels: the first and last touch the edges, a single one lies in the
/// middle.
fn spread(i: u32, count: u32, free: u32) -> u32 {
    if count == 1 { free / 2 } else { (u64::from(i) * u64::from(free) / u64::from(count - 1)) as u32 }
}

/// Why a text cannot be parsed as [`Views`].
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ViewsError {
    /// A part is not `key=value`, or its key is unknown.
    #[error(
        "views: unknown setting `{0}`: expected sees=both|local|global, window=N, stride=N, grid=N, random=N, seed=N or \
         fragments=N"
    )]
    Unknown(String),
    /// A value is invalid for its key.
    #[error("views: invalid value in `{0}`: expected a whole number of at least {1}")]
    Number(String, u32),
    /// Two keys exclude each other, or a seed is given without `random`.
    #[error(
        "views: give one of stride, grid, random and fragments, a seed with random only, and no window with fragments"
    )]
    Placement,
    /// The pieces do not fill the window.
    #[error("views: invalid value in `{0}`: expected a number that divides 224, as 4, 7, 8, 14 or 16")]
    Fragments(String),
}

/// The most windows of a grid or a random draw: a larger number is a typing error, not a study.
const WINDOWS_MAX: u32 = 65_536;

impl FromStr for Views {
    type Err = ViewsError;

    fn from_str(text: &str) -> Result<Views, ViewsError> {
        Views::default().with_overrides(text)
    }
}

impl Views {
    /// Returns these views with the settings of a text applied; a setting that the text leaves out stays.
    ///
    /// # Errors
    /// Fails when the text is not a valid setting of [`Views`].
    pub fn with_overrides(self, text: &str) -> Result<Views, ViewsError> {
        let mut views = self;
        let (mut placement, mut seed) = (None, None);
        let mut has_window = false;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let part = if part == "fragments" { "fragments=7" } else { part };
            let (key, value) = part.split_once('=').ok_or_else(|| ViewsError::Unknown(part.into()))?;
            let number = |min: u32| match value.parse::<u32>() {
                Ok(n) if (min..=WINDOWS_MAX).contains(&n) => Ok(n),
                _ => Err(ViewsError::Number(part.into(), min)),
            };
            let new = match key {
                "sees" => {
                    views.sees = match value {
                        "both" => ViewMode::Both,
                        "local" => ViewMode::Local,
                        "global" => ViewMode::Global,
                        _ => return Err(ViewsError::Unknown(part.into())),
                    };
                    None
                }
                "window" => {
                    views.window = number(32)?;
                    has_window = true;
                    None
                }
                "seed" => {
                    seed = Some(value.parse().map_err(|_| ViewsError::Number(part.into(), 0))?);
                    None
                }
                "stride" => Some(Placement::Stride(number(1)?)),
                "grid" => Some(Placement::Grid(number(1)?)),
                "random" => Some(Placement::Random { windows: number(1)?, seed: 0 }),
                "fragments" => match number(1)? {
                    cells if INPUT_SIDE.is_multiple_of(cells) => Some(Placement::Fragments(cells)),
                    _ => return Err(ViewsError::Fragments(part.into())),
                },
                _ => return Err(ViewsError::Unknown(part.into())),
            };
            if new.is_some() && placement.replace(new).is_some() {
                return Err(ViewsError::Placement);
            }
        }
        if let Some(Some(placement)) = placement {
            views.placement = placement;
        }
        if let Placement::Fragments(_) = views.placement {
            if has_window {
                return Err(ViewsError::Placement);
            }
            views.window = INPUT_SIDE;
        }
        match (&mut views.placement, seed) {
            (_, None) => {}
            (Placement::Random { seed, .. }, Some(given)) => *seed = given,
            (_, Some(_)) => return Err(ViewsError::Placement),
        }
        Ok(views)
    }
}

impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sees = match self.sees {
            ViewMode::Both => "both",
            ViewMode::Local => "local",
            ViewMode::Global => return f.write_str("sees=global"),
        };
        if let Placement::Fragments(cells) = self.placement {
            return write!(f, "sees={sees},fragments={cells}");
        }
        write!(f, "sees={sees},window={},", self.window)?;
        match self.placement {
            Placement::Stride(stride) => write!(f, "stride={stride}"),
            Placement::Grid(windows) => write!(f, "grid={windows}"),
            Placement::Random { windows, seed } => write!(f, "random={windows},seed={seed}"),
            Placement::Fragments(_) => unreachable!("they have no window"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_paper_has_15_windows_at_the_least_vga_and_1767_in_4k() {
        let views = Views::default();
        assert_eq!(views.windows(224, 224), 1);
        assert_eq!(views.windows(287, 287), 1);
        assert_eq!(views.windows(288, 287), 2);
        assert_eq!(views.windows(640, 480), 7 * 5);
        assert_eq!(views.windows(3840, 2160), 1767);
        assert_eq!(views.windows(223, 4000), 0);
        assert_eq!(views.origins(300, 300)[1], Origin { x: 64, y: 0 }, "row-major");
    }

    #[test]
    fn a_grid_takes_the_pictures_shape_and_meets_the_edges() {
        let views: Views = "grid=8".parse().unwrap();
        let origins = views.origins(1000, 500);
        assert_eq!(origins.len(), 8);
        assert_eq!(origins[0], Origin { x: 0, y: 0 });
        assert_eq!(origins[7], Origin { x: 776, y: 276 });
        assert_eq!(origins.iter().filter(|o| o.y == 0).count(), 4);
        assert_eq!("grid=1".parse::<Views>().unwrap().origins(324, 224), [Origin { x: 50, y: 0 }]);
    }

    #[test]
    fn a_text_that_is_no_views_says_what_is_wrong() {
        assert_eq!("stride=0".parse::<Views>(), Err(ViewsError::Number("stride=0".into(), 1)));
        assert_eq!("strid=64".parse::<Views>(), Err(ViewsError::Unknown("strid=64".into())));
        assert_eq!("stride=64,grid=4".parse::<Views>(), Err(ViewsError::Placement));
        assert_eq!("grid=4,seed=1".parse::<Views>(), Err(ViewsError::Placement));
        assert_eq!("sees=all".parse::<Views>(), Err(ViewsError::Unknown("sees=all".into())));
        assert_eq!("".parse::<Views>(), Ok(Views::default()));
    }

    #[test]
    fn fragments_are_one_window_that_small_pictures_have_too() {
        let views: Views = "fragments".parse().unwrap();
        assert_eq!(views.to_string(), "sees=both,fragments=7");
        assert_eq!((views.windows(1920, 1080), views.windows(32, 40), views.windows(31, 40)), (1, 1, 0));
        assert_eq!("fragments=6".parse::<Views>(), Err(ViewsError::Fragments("fragments=6".into())));
        assert_eq!("fragments,window=160".parse::<Views>(), Err(ViewsError::Placement));
        assert_eq!("fragments,stride=64".parse::<Views>(), Err(ViewsError::Placement));
        let local: Views = "sees=local,window=160".parse().unwrap();
        let fragments = local.with_overrides("fragments=8").unwrap();
        assert_eq!((fragments.to_string().as_str(), fragments.window), ("sees=local,fragments=8", 224));
        assert_eq!(fragments.with_overrides("stride=64").unwrap().to_string(), "sees=local,window=224,stride=64");
        let global = fragments.with_overrides("sees=global").unwrap();
        assert_eq!((global.fragments(), global.side_min()), (None, 1));
    }

    #[test]
    fn settings_that_are_left_out_stay() {
        let local: Views = "sees=local,window=160,grid=4".parse().unwrap();
        assert_eq!(local.with_overrides("stride=32").unwrap().to_string(), "sees=local,window=160,stride=32");
        assert_eq!(local.with_overrides("sees=both").unwrap().to_string(), "sees=both,window=160,grid=4");
    }

    fn any_views() -> impl Strategy<Value = Views> {
        let placement = prop_oneof![
            (1u32..300).prop_map(Placement::Stride),
            (1u32..40).prop_map(Placement::Grid),
            (1u32..40, any::<u64>()).prop_map(|(windows, seed)| Placement::Random { windows, seed }),
            prop::sample::select(vec![4, 7, 8]).prop_map(Placement::Fragments),
        ];
        (prop_oneof![Just(ViewMode::Both), Just(ViewMode::Local)], 32u32..500, placement).prop_map(
            |(sees, window, placement)| {
                let window = if let Placement::Fragments(_) = placement { INPUT_SIDE } else { window };
                Views { sees, window, placement }
            },
        )
    }

    proptest! {
        #[test]
        fn every_window_lies_within_the_picture(views in any_views(), width in 1u32..900, height in 1u32..900) {
            let origins = views.origins(width, height);
            prop_assert_eq!(origins.is_empty(), width.min(height) < views.side_min());
            for o in origins.iter().filter(|_| views.fragments().is_none()) {
                prop_assert!(o.x + views.window <= width && o.y + views.window <= height);
            }
            prop_assert_eq!(&origins, &views.origins(width, height));
        }

        #[test]
        fn text_form_and_back(views in any_views()) {
            prop_assert_eq!(views.to_string().parse::<Views>(), Ok(views));
        }
    }
}
