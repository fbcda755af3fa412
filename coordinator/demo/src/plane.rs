//! Pictures as numbers: one channel, or three. Values are f32, 0 black and 1 white where they are light; what lies
//! outside is kept until it is made bytes.

/// One channel, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// `height * width` values.
    pub(crate) data: Vec<f32>,
}

/// Three channels of one size: red, green, blue, as a screen takes them (sRGB).
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

    /// One row.
    pub(crate) fn from_values(values: impl Iterator<Item = f32>) -> Plane {
        let data: Vec<f32> = values.collect();
        Plane { width: data.len(), height: 1, data }
    }

    pub(crate) fn map(&self, change: impl Fn(f32) -> f32) -> Plane {
        Plane { data: self.data.iter().map(|&value| change(value)).collect(), ..*self }
    }

    /// Value by value with another of the same size.
    pub(crate) fn zip(&self, other: &Plane, join: impl Fn(f32, f32) -> f32) -> Plane {
        assert_eq!((self.width, self.height), (other.width, other.height), "planes of one picture");
        Plane { data: self.data.iter().zip(&other.data).map(|(&a, &b)| join(a, b)).collect(), ..*self }
    }

    pub(crate) fn mean(&self) -> f32 {
        (self.data.iter().map(|&value| f64::from(value)).sum::<f64>() / self.data.len() as f64) as f32
    }

    /// The value that this share of all values (0 to 1) is not above.
    pub(crate) fn quantile(&self, share: f32) -> f32 {
        let mut sorted = self.data.clone();
        let at = ((sorted.len() - 1) as f32 * share) as usize;
        *sorted.select_nth_unstable_by(at, f32::total_cmp).1
    }

    /// The means of squares of two by two; an odd last row or column is left out.
    pub(crate) fn halved(&self) -> Plane {
        Plane::from_fn(self.width / 2, self.height / 2, |x, y| {
            let at = 2 * y * self.width + 2 * x;
            let below = at + self.width;
            0.25 * (self.data[at] + self.data[at + 1] + self.data[below] + self.data[below + 1])
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

    /// One value of each pixel.
    pub(crate) fn to_plane(&self, value: impl Fn([f32; 3]) -> f32) -> Plane {
        Plane { width: self.width(), height: self.height(), data: self.pixels().map(value).collect() }
    }

    /// Pixel by pixel.
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
        assert_eq!(planes[0].data.len(), width * height, "a pixel for each place");
        Rgb(planes)
    }

    /// Channel by channel with the number of the channel.
    pub(crate) fn channels(&self, change: impl Fn(usize, &Plane) -> Plane) -> Rgb {
        Rgb([0, 1, 2].map(|channel| change(channel, &self.0[channel])))
    }

    /// Luma of BT.601.
    pub(crate) fn luma(&self) -> Plane {
        self.to_plane(luma)
    }

    /// `height * width * 3` bytes, row-major, interleaved, rounded.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.pixels().flatten().map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect()
    }

    /// As it is after it was a file of bytes.
    pub(crate) fn quantised(&self) -> Rgb {
        self.channels(|_, plane| plane.map(|value| (value.clamp(0.0, 1.0) * 255.0 + 0.5).floor() / 255.0))
    }
}

/// Luma of BT.601.
pub(crate) fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

/// `a` for a share of 0, `b` for 1.
pub(crate) fn mix(a: f32, b: f32, share: f32) -> f32 {
    a + (b - a) * share
}

/// `base` to a whole power, by squaring: the standard library leaves the last bits of its own to the platform.
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

/// 0 up to `from`, 1 from `to` on, smooth between.
pub(crate) fn smoothstep(from: f32, to: f32, value: f32) -> f32 {
    let t = ((value - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
