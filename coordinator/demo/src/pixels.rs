//! Pictures as f32 values: planes of one channel, and RGB pictures of three. 0 is black and 1 is white; values outside
//! this range are kept until the picture is converted to bytes.

/// One channel, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// `height * width` values.
    pub(crate) data: Vec<f32>,
}

/// Three channels of one size: red, green and blue, encoded as sRGB unless stated otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rgb(pub(crate) [Plane; 3]);

impl Plane {
    pub(crate) fn filled(width: usize, height: usize, value: f32) -> Plane {
        Plane { width, height, data: vec![value; width * height] }
    }

    pub(crate) fn from_fn(width: usize, height: usize, mut value: impl FnMut(usize, usize) -> f32) -> Plane {
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            data.extend((0..width).map(|x| value(x, y)));
        }
        Plane { width, height, data }
    }

    /// Creates a plane of one row.
    pub(crate) fn from_values(values: impl Iterator<Item = f32>) -> Plane {
        let data: Vec<f32> = values.collect();
        Plane { width: data.len(), height: 1, data }
    }

    pub(crate) fn map(&self, change: impl Fn(f32) -> f32) -> Plane {
        Plane { data: self.data.iter().map(|&value| change(value)).collect(), ..*self }
    }

    /// Combines two planes of the same size value by value.
    pub(crate) fn zip(&self, other: &Plane, combine: impl Fn(f32, f32) -> f32) -> Plane {
        assert_eq!((self.width, self.height), (other.width, other.height), "planes have unequal sizes");
        Plane { data: self.data.iter().zip(&other.data).map(|(&a, &b)| combine(a, b)).collect(), ..*self }
    }

    pub(crate) fn mean(&self) -> f32 {
        (self.data.iter().map(|&value| f64::from(value)).sum::<f64>() / self.data.len() as f64) as f32
    }

    /// Returns the quantile of the values at `share`, from 0 to 1.
    pub(crate) fn quantile(&self, share: f32) -> f32 {
        let mut sorted = self.data.clone();
        let index = ((sorted.len() - 1) as f32 * share) as usize;
        *sorted.select_nth_unstable_by(index, f32::total_cmp).1
    }

    /// Halves the resolution: each value is the mean of 2 x 2 values. An odd last row or column is left out.
    pub(crate) fn halved(&self) -> Plane {
        Plane::from_fn(self.width / 2, self.height / 2, |x, y| {
            let above = 2 * y * self.width + 2 * x;
            let below = above + self.width;
            0.25 * (self.data[above] + self.data[above + 1] + self.data[below] + self.data[below + 1])
        })
    }
}

impl Rgb {
    pub(crate) fn width(&self) -> usize {
        self.0[0].width
    }

    pub(crate) fn height(&self) -> usize {
        self.0[0].height
    }

    pub(crate) fn pixels(&self) -> impl Iterator<Item = [f32; 3]> {
        let [r, g, b] = &self.0;
        r.data.iter().zip(&g.data).zip(&b.data).map(|((&r, &g), &b)| [r, g, b])
    }

    /// Computes a plane with one value for each pixel.
    pub(crate) fn to_plane(&self, value: impl Fn([f32; 3]) -> f32) -> Plane {
        Plane { width: self.width(), height: self.height(), data: self.pixels().map(value).collect() }
    }

    /// Changes each pixel.
    pub(crate) fn map(&self, change: impl Fn([f32; 3]) -> [f32; 3]) -> Rgb {
        Rgb::from_pixels(self.width(), self.height(), self.pixels().map(change))
    }

    pub(crate) fn from_pixels(width: usize, height: usize, pixels: impl Iterator<Item = [f32; 3]>) -> Rgb {
        let mut planes = [0, 1, 2].map(|_| Plane { width, height, data: Vec::with_capacity(width * height) });
        for pixel in pixels {
            for (plane, value) in planes.iter_mut().zip(pixel) {
                plane.data.push(value);
            }
        }
        assert_eq!(planes[0].data.len(), width * height, "the number of pixels is not width times height");
        Rgb(planes)
    }

    /// Changes each channel; `change` gets the number of the channel, from 0 to 2.
    pub(crate) fn map_channels(&self, change: impl Fn(usize, &Plane) -> Plane) -> Rgb {
        Rgb([0, 1, 2].map(|channel| change(channel, &self.0[channel])))
    }

    /// Returns the luma of BT.601.
    pub(crate) fn luma(&self) -> Plane {
        self.to_plane(luma)
    }

    /// Returns (height, width, 3) bytes, row-major, rounded.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.pixels().flatten().map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect()
    }

    /// Rounds values to those that bytes hold.
    pub(crate) fn quantised(&self) -> Rgb {
        self.map_channels(|_, plane| plane.map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5).floor() / 255.0))
    }
}

/// Returns the luma of a pixel by BT.601.
pub(crate) fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

/// Interpolates linearly: `a` at a share of 0, `b` at 1.
pub(crate) fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// Raises `base` to an integer power by squaring. The last bits of the standard library's function depend on the platform.
pub(crate) fn power(mut base: f32, mut exponent: u32) -> f32 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

/// Returns 0 below `start`, 1 above `end`, and a smooth value between them.
pub(crate) fn smoothstep(start: f32, end: f32, value: f32) -> f32 {
    let t = ((value - start) / (end - start)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
