//! The reflectance of surfaces, in linear light: patterns over the surface in metres.

use super::shape::Vector;
use crate::noise::{cell_hash, fractal_noise, value_noise};
use crate::pixels::{power, smoothstep};
use crate::rng::SceneRng;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pattern {
    /// A mottled surface with fine grain.
    Plain,
    Bricks,
    Tiles,
    Planks,
    Stripes,
    Checks,
    /// A wall with rows of windows.
    Facade,
    /// Spines of books on shelves.
    Books,
    /// A picture of blotches in three colours.
    Picture,
    /// Veins as in marble.
    Veins,
    /// Blades of grass or stones: a fine, strong texture.
    Rough,
    Leaves,
    Roof,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Material {
    pub(crate) pattern: Pattern,
    pub(crate) main: Vector,
    pub(crate) other: Vector,
    /// The period of the pattern in metres.
    pub(crate) size: f32,
    pub(crate) seed: u32,
    /// The strength of highlights.
    pub(crate) gloss: f32,
}

impl Material {
    pub(crate) fn new(pattern: Pattern, main: Vector, other: Vector, size: f32, rng: &mut SceneRng) -> Material {
        Material { pattern, main, other, size, seed: rng.noise_seed(), gloss: 0.0 }
    }

    pub(crate) fn glossy(self, gloss: f32) -> Material {
        Material { gloss, ..self }
    }

    /// Returns the reflectance at a position on the surface, where a pixel covers `footprint` metres.
    pub(crate) fn colour(&self, (u, v): (f32, f32), footprint: f32) -> Vector {
        let (s, seed) = (self.size, self.seed);
        let (x, y) = (u / s, v / s);
        let pixel = footprint / s;
        let mottle = |scale: f32, octaves: u32| fractal_noise(x * scale, y * scale, octaves, pixel * scale, seed);
        // Lines and edges fade where they are finer than a pixel.
        let edges = (1.5 - 4.0 * pixel).clamp(0.0, 1.0);
        let blend = |share: f32| self.main + (self.other - self.main) * share.clamp(0.0, 1.0);
        match self.pattern {
            Pattern::Plain => blend(0.5 + 0.5 * mottle(1.0, 3)) * (1.0 + 0.12 * mottle(12.0, 2)),
            Pattern::Rough => {
                blend(0.5 + 0.6 * mottle(0.35, 3)) * (1.0 + 0.6 * mottle(3.0, 3) + 0.9 * mottle(14.0, 2)).max(0.1)
            }
            Pattern::Leaves => {
                blend(0.5 + 0.7 * mottle(1.0, 2)) * (1.0 + 0.7 * mottle(3.5, 2) + 0.9 * mottle(11.0, 2)).max(0.12)
            }
            Pattern::Bricks | Pattern::Tiles | Pattern::Planks | Pattern::Roof => {
                let (wide, shift) = match self.pattern {
                    Pattern::Bricks => (2.2, 0.5),
                    Pattern::Planks => (9.0, 0.37),
                    Pattern::Roof => (0.8, 0.5),
                    _ => (1.0, 0.0),
                };
                let row = y.floor();
                let along = x / wide + shift * row;
                let (fx, fy) = (along - along.floor(), y - row);
                let joint = smoothstep(0.0, 0.06, fx.min(1.0 - fx) * wide) * smoothstep(0.0, 0.06, fy.min(1.0 - fy));
                let tone = cell_hash(along.floor() as i32, row as i32, seed);
                let grain = match self.pattern {
                    Pattern::Planks => 0.25 * fractal_noise(x * 0.4, y * 9.0, 3, pixel * 9.0, seed),
                    _ => 0.15 * mottle(4.0, 3),
                };
                let shade = if self.pattern == Pattern::Roof { 0.6 + 0.4 * fy } else { 0.55 + 0.45 * joint };
                let body = blend(tone * 0.7 + 0.3 * grain) * (1.0 + grain);
                body * (1.0 - edges + edges * shade)
            }
            Pattern::Stripes => {
                let wave = 0.5 + 0.5 * libm::sinf(std::f32::consts::TAU * (x + 0.05 * value_noise(x, y, seed)));
                blend(0.5 + (smoothstep(0.4, 0.6, wave) - 0.5) * edges) * (1.0 + 0.1 * mottle(5.0, 2))
            }
            Pattern::Checks => {
                let odd = (x.floor() + y.floor()).rem_euclid(2.0);
                blend(0.5 + (odd - 0.5) * edges) * (1.0 + 0.15 * mottle(4.0, 3))
            }
            Pattern::Veins => {
                let turn = x + 0.6 * y + 1.3 * mottle(0.8, 4);
                let vein = 1.0 - (2.0 * (turn - turn.floor()) - 1.0).abs();
                blend(smoothstep(0.75, 1.0, vein) * edges + 0.2 * mottle(2.0, 3))
            }
            Pattern::Picture => {
                let (a, b) = (mottle(1.0, 4), fractal_noise(x * 1.3 + 9.0, y * 1.3, 3, pixel, seed ^ 1));
                let third = Vector::new(self.other.z, self.main.x, self.other.y);
                let base = if a > 0.12 { self.main } else { self.other };
                (if b > 0.25 { third } else { base }) * (1.0 + 0.3 * mottle(5.0, 3)).max(0.2)
            }
            Pattern::Books => self.books(u, v, edges),
            Pattern::Facade => self.facade(u, v, edges) * (1.0 + 0.1 * mottle(2.0, 4)),
        }
    }

    /// Returns the reflectance of shelves `size` apart, with books of varying width, height and colour.
    fn books(&self, u: f32, v: f32, edges: f32) -> Vector {
        let shelf = (v / self.size).floor();
        let height = v / self.size - shelf;
        if height < 0.07 {
            return self.main;
        }
        let slot = u / (self.size * 0.13) + 3.0 * cell_hash(shelf as i32, 0, self.seed);
        let number = slot.floor() as i32;
        let attribute = |index: u32| cell_hash(number, shelf as i32, self.seed ^ index);
        if height > 0.55 + 0.4 * attribute(1) {
            return self.main * 0.15;
        }
        let spine = 1.0 - 0.6 * edges * power(2.0 * (slot - slot.floor()) - 1.0, 2);
        let title = if (0.3..0.42).contains(&(height - 0.1 * attribute(5))) && attribute(6) > 0.4 { 0.35 } else { 0.0 };
        (Vector::new(attribute(2), attribute(3), attribute(4)) * 0.55 + Vector::repeat(0.03 + title)) * spine
    }

    /// Returns the reflectance of storeys of height `size` with framed windows, whose glass is dark or reflects a bright
    /// sky.
    fn facade(&self, u: f32, v: f32, edges: f32) -> Vector {
        let (wide, seed) = (0.6 + 0.6 * cell_hash(1, 2, self.seed), self.seed);
        let (x, y) = (u / (self.size * wide), v / self.size);
        let (column, storey) = (x.floor(), y.floor());
        let (fx, fy) = ((x - column - 0.5).abs(), (y - storey - 0.52).abs());
        let (half_w, half_h) = (0.22 + 0.2 * cell_hash(3, 4, seed), 0.2 + 0.18 * cell_hash(5, 6, seed));
        let inside = smoothstep(0.0, 0.03, half_w - fx) * smoothstep(0.0, 0.03, half_h - fy);
        let frame = smoothstep(0.0, 0.03, half_w + 0.05 - fx) * smoothstep(0.0, 0.03, half_h + 0.05 - fy);
        let bar = smoothstep(0.0, 0.02, fx - 0.015);
        let sky = cell_hash(column as i32, storey as i32, seed);
        let glass =
            Vector::new(0.05, 0.07, 0.09) + Vector::new(0.25, 0.3, 0.36) * (sky * sky * (0.4 + 0.6 * (y - storey)));
        let ledge = 1.0 - 0.25 * smoothstep(0.45, 0.48, fy);
        let wall = self.main * ledge;
        let framed = wall + (self.other - wall) * frame;
        let detailed = framed + (glass - framed) * (inside * bar);
        let average = self.main * 0.65 + glass * 0.35;
        average + (detailed - average) * edges
    }
}

/// Returns a colour in linear light by its hue in turns, saturation and lightness. Even the most saturated colour is muted.
pub(crate) fn hsl(hue: f32, saturation: f32, lightness: f32) -> Vector {
    let saturation = 0.6 * saturation;
    let channel = |shift: f32| {
        let turn = (hue + shift).rem_euclid(1.0) * 6.0;
        let wave = ((turn - 3.0).abs() - 1.0).clamp(0.0, 1.0);
        (lightness * (1.0 + saturation * (2.0 * wave - 1.0))).clamp(0.0, 1.0)
    };
    Vector::new(channel(0.0), channel(2.0 / 3.0), channel(1.0 / 3.0)).map(|value| value * value)
}
