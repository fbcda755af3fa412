//! Numbers that the authors of NIQE, BRISQUE and FADE fitted to pictures. The published ones are part of the program
//! (`parameters/`); others come from JSON. Owns their shapes and their digest, and knows nothing of how metrics use them.

mod embedded;
mod json;

use crate::cholesky::cholesky;
use crate::metric::Metric;
use crate::parameters::embedded::Numbers;
use crate::parameters::json::Field;

pub use json::ParameterError;

/// Fields that say where numbers come from.
const PROVENANCE: [&str; 2] = ["from", "sha256"];

/// Number of features of NIQE and of BRISQUE: 18 at each of two scales.
pub(crate) const FEATURES: usize = 36;

/// Number of features of FADE.
pub(crate) const FOG_FEATURES: usize = 12;

/// What metrics need beside pictures. [`Parameters::default`] has the published numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    pub(crate) niqe: GaussianModel<FEATURES>,
    pub(crate) brisque: SupportVectorModel,
    pub(crate) fade: FogModel,
}

/// A normal distribution of `N` features.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GaussianModel<const N: usize> {
    pub(crate) mean: [f64; N],
    pub(crate) covariance: [[f64; N]; N],
}

/// An epsilon support vector regression with a radial kernel, and the ranges that its features are scaled from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SupportVectorModel {
    pub(crate) gamma: f64,
    pub(crate) rho: f64,
    /// Features that are scaled to -1.
    pub(crate) range_min: [f64; FEATURES],
    /// Features that are scaled to 1.
    pub(crate) range_max: [f64; FEATURES],
    pub(crate) support_vectors: Vec<SupportVector>,
}

/// The features of patches without fog and of foggy ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FogModel {
    pub(crate) fog_free: GaussianModel<FOG_FEATURES>,
    pub(crate) foggy: GaussianModel<FOG_FEATURES>,
}

/// A row of the model: the vector is one of scaled features.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SupportVector {
    pub(crate) coefficient: f64,
    pub(crate) features: [f64; FEATURES],
}

impl Default for Parameters {
    fn default() -> Self {
        let mut niqe = Numbers::new(include_bytes!("../parameters/niqe.f64"));
        let mut brisque = Numbers::new(include_bytes!("../parameters/brisque.f64"));
        let mut fade = Numbers::new(include_bytes!("../parameters/fade.f64"));
        Self {
            niqe: GaussianModel::embedded(&mut niqe),
            brisque: SupportVectorModel::embedded(&mut brisque),
            fade: FogModel::embedded(&mut fade),
        }
    }
}

impl Parameters {
    /// Reads parameters from JSON. Metrics that it does not name keep the published ones.
    ///
    /// ```text
    /// {"niqe": {"mu": [36 numbers], "cov": [36 rows of 36]},
    ///  "brisque": {"gamma": 0.05, "rho": -153.591, "range_min": [36 numbers], "range_max": [36 numbers],
    ///              "support_vectors": [rows of a coefficient and 36 numbers]},
    ///  "fade": {"fogfree": {"mu": [12 numbers], "cov": [12 rows of 12]}, "foggy": {"mu": ..., "cov": ...}}}
    /// ```
    ///
    /// Each part may also say where it is `from` and the `sha256` of that.
    ///
    /// # Errors
    /// If the text is not JSON of this form; the error names the field.
    pub fn from_json(text: &str) -> Result<Self, ParameterError> {
        let mut parameters = Self::default();
        let root = Field::root(text)?;
        let metrics = root.object(&[], &["niqe", "brisque", "fade"])?;
        if let Some(niqe) = metrics.get("niqe") {
            parameters.niqe = GaussianModel::from_field(niqe)?;
        }
        if let Some(brisque) = metrics.get("brisque") {
            parameters.brisque = SupportVectorModel::from_field(brisque)?;
        }
        if let Some(fade) = metrics.get("fade") {
            parameters.fade = FogModel::from_field(fade)?;
        }
        Ok(parameters)
    }

    /// Returns the digest of the numbers that a metric uses, if it uses any: BLAKE3 of their bits, in hex.
    pub fn digest(&self, metric: Metric) -> Option<String> {
        let numbers = match metric {
            Metric::Niqe => self.niqe.numbers(),
            Metric::Brisque => self.brisque.numbers(),
            Metric::Fade => self.fade.numbers(),
            _ => return None,
        };
        let mut hasher = blake3::Hasher::new();
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
        Some(hasher.finalize().to_hex().to_string())
    }
}

impl<const N: usize> GaussianModel<N> {
    fn embedded(numbers: &mut Numbers) -> Self {
        Self { mean: numbers.row(), covariance: std::array::from_fn(|_| numbers.row()) }
    }

    fn from_field(field: &Field<'_>) -> Result<Self, ParameterError> {
        let fields = field.object(&["mu", "cov"], &PROVENANCE)?;
        let rows = fields["cov"].array()?;
        let rows = rows.iter().map(Field::numbers).collect::<Result<Vec<_>, _>>()?;
        let count = rows.len();
        let covariance = rows.try_into().map_err(|_| fields["cov"].invalid(format!("{N} rows"), format!("{count}")))?;
        Ok(Self { mean: fields["mu"].numbers()?, covariance })
    }

    /// Returns all numbers, as in the embedded file.
    fn numbers(&self) -> Vec<f64> {
        self.mean.iter().chain(self.covariance.as_flattened()).copied().collect()
    }
}

impl SupportVectorModel {
    fn embedded(numbers: &mut Numbers) -> Self {
        let [gamma, rho] = numbers.row();
        let (range_min, range_max) = (numbers.row(), numbers.row());
        let mut support_vectors = Vec::new();
        while !numbers.is_empty() {
            let [coefficient] = numbers.row();
            support_vectors.push(SupportVector { coefficient, features: numbers.row() });
        }
        Self { gamma, rho, range_min, range_max, support_vectors }
    }

    fn from_field(field: &Field<'_>) -> Result<Self, ParameterError> {
        let needed = ["gamma", "rho", "range_min", "range_max", "support_vectors"];
        let fields = field.object(&needed, &PROVENANCE)?;
        let (range_min, range_max) = (fields["range_min"].numbers()?, fields["range_max"].numbers()?);
        for (place, (min, max)) in range_min.iter().zip(&range_max).enumerate() {
            if min >= max {
                return Err(fields["range_max"].invalid(format!("item {place} above {min}"), format!("{max}")));
            }
        }
        let rows = fields["support_vectors"].array()?;
        Ok(Self {
            gamma: fields["gamma"].number()?,
            rho: fields["rho"].number()?,
            range_min,
            range_max,
            support_vectors: rows.iter().map(SupportVector::from_field).collect::<Result<_, _>>()?,
        })
    }

    /// Returns all numbers, as in the embedded file.
    fn numbers(&self) -> Vec<f64> {
        let head = [self.gamma, self.rho].into_iter().chain(self.range_min).chain(self.range_max);
        let rows = self.support_vectors.iter().flat_map(|row| std::iter::once(row.coefficient).chain(row.features));
        head.chain(rows).collect()
    }
}

impl FogModel {
    fn embedded(numbers: &mut Numbers) -> Self {
        Self { fog_free: GaussianModel::embedded(numbers), foggy: GaussianModel::embedded(numbers) }
    }

    fn from_field(field: &Field<'_>) -> Result<Self, ParameterError> {
        let fields = field.object(&["fogfree", "foggy"], &[PROVENANCE[0], PROVENANCE[1], "order"])?;
        let model = |name: &str| {
            let model = GaussianModel::from_field(&fields[name])?;
            // The distance of FADE is the length of a vector only then.
            if cholesky(&model.covariance).is_none() {
                let expected = "a `cov` that is symmetric and positive definite".to_owned();
                return Err(fields[name].invalid(expected, "another one".to_owned()));
            }
            Ok(model)
        };
        Ok(Self { fog_free: model("fogfree")?, foggy: model("foggy")? })
    }

    /// Returns all numbers, as in the embedded file.
    fn numbers(&self) -> Vec<f64> {
        [self.fog_free.numbers(), self.foggy.numbers()].concat()
    }
}

impl SupportVector {
    fn from_field(field: &Field<'_>) -> Result<Self, ParameterError> {
        let row: [f64; FEATURES + 1] = field.numbers()?;
        Ok(Self { coefficient: row[0], features: std::array::from_fn(|place| row[place + 1]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns JSON of the published parameters.
    fn published() -> serde_json::Value {
        let Parameters { niqe, brisque, fade } = Parameters::default();
        let rows = |rows: &[[f64; FEATURES]]| rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
        let vectors =
            brisque.numbers()[2 + 2 * FEATURES..].chunks(FEATURES + 1).map(<[f64]>::to_vec).collect::<Vec<_>>();
        serde_json::json!({
            "niqe": {"from": "NIQE", "mu": niqe.mean.to_vec(), "cov": rows(&niqe.covariance)},
            "brisque": {
                "gamma": brisque.gamma,
                "rho": brisque.rho,
                "range_min": brisque.range_min.to_vec(),
                "range_max": brisque.range_max.to_vec(),
                "support_vectors": vectors,
            },
            "fade": {"order": [], "fogfree": fog_model(&fade.fog_free), "foggy": fog_model(&fade.foggy)},
        })
    }

    fn fog_model(model: &GaussianModel<FOG_FEATURES>) -> serde_json::Value {
        let rows = model.covariance.iter().map(|row| row.to_vec()).collect::<Vec<_>>();
        serde_json::json!({"mu": model.mean.to_vec(), "cov": rows})
    }

    fn error(json: &serde_json::Value) -> String {
        Parameters::from_json(&json.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn published_parameters_survive_json() {
        assert_eq!(Parameters::from_json(&published().to_string()).unwrap(), Parameters::default());
        assert_eq!(Parameters::from_json("{}").unwrap(), Parameters::default());
    }

    #[test]
    fn embedded_files_have_the_published_shapes() {
        let Parameters { niqe, brisque, fade } = Parameters::default();
        assert_eq!((fade.fog_free.mean[0], fade.foggy.mean[0]), (0.3897742249373781, 0.09996615333760646));
        assert_eq!(niqe.mean[0], 2.6013136801541448);
        assert_eq!((brisque.gamma, brisque.rho, brisque.support_vectors.len()), (0.05, -153.591, 774));
        assert_eq!((brisque.range_min[0], brisque.range_max[0]), (0.338, 10.0));
        assert_eq!(brisque.support_vectors[0].coefficient, -1024.0);
        assert_eq!(brisque.support_vectors[0].features[0], -0.596978);
    }

    /// Returns the numbers of some fields of `shared/metrics/parameters/NAME.json`, or nothing after a message.
    fn shared_numbers(name: &str, fields: &[&str]) -> Option<Vec<f64>> {
        let text = String::from_utf8(shared_file(&format!("{name}.json"))?).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let others: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let members = Field::root(&text).unwrap().object(fields, &others).unwrap();
        Some(fields.iter().flat_map(|name| all_numbers(&members[name])).collect())
    }

    /// Returns the numbers of a number, an array or a matrix.
    fn all_numbers(field: &Field<'_>) -> Vec<f64> {
        match field.array() {
            Ok(items) => items.iter().flat_map(all_numbers).collect(),
            Err(_) => vec![field.number().unwrap()],
        }
    }

    fn shared_file(name: &str) -> Option<Vec<u8>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/metrics/parameters/").to_owned() + name;
        std::fs::read(&path).map_err(|_| eprintln!("skipped: {path} is missing")).ok()
    }

    fn bits(numbers: &[f64]) -> Vec<u64> {
        numbers.iter().map(|number| number.to_bits()).collect()
    }

    #[test]
    fn embedded_niqe_equals_the_shared_file_bit_by_bit() {
        let Some(expected) = shared_numbers("niqe", &["mu", "cov"]) else { return };
        assert_eq!(bits(&Parameters::default().niqe.numbers()), bits(&expected));
    }

    #[test]
    fn embedded_brisque_equals_the_shared_files_bit_by_bit() {
        let heads = ["gamma", "rho", "range_min", "range_max"];
        let Some(mut expected) = shared_numbers("brisque", &heads) else { return };
        let Some(table) = shared_file("brisque_support_vectors.npy") else { return };
        // The header of a .npy file ends with a line feed, and fills 128 bytes here.
        assert_eq!(table[127], b'\n');
        expected.extend(table[128..].as_chunks().0.iter().map(|number| f64::from_le_bytes(*number)));
        assert_eq!(bits(&Parameters::default().brisque.numbers()), bits(&expected));
    }

    #[test]
    fn embedded_fade_equals_the_shared_file_bit_by_bit() {
        let Some(text) = shared_file("fade.json") else { return };
        let text = String::from_utf8(text).unwrap();
        let members = Field::root(&text).unwrap().object(&["fogfree", "foggy"], &["from", "sha256", "order"]).unwrap();
        let numbers = |name: &str| {
            let fields = members[name].object(&["mu", "cov"], &[]).unwrap();
            [all_numbers(&fields["mu"]), all_numbers(&fields["cov"])].concat()
        };
        let fade = Parameters::default().fade;
        assert_eq!(bits(&fade.fog_free.numbers()), bits(&numbers("fogfree")));
        assert_eq!(bits(&fade.foggy.numbers()), bits(&numbers("foggy")));
        assert_eq!(Parameters::from_json(&format!("{{\"fade\": {text}}}")).unwrap(), Parameters::default());
    }

    #[test]
    fn errors_name_the_field() {
        let mut short = published();
        short["niqe"]["cov"][3].as_array_mut().unwrap().pop();
        assert_eq!(error(&short), "parameter `niqe.cov[3]`: expected 36 numbers, found 35");
        let mut text = published();
        text["brisque"]["support_vectors"][7][2] = "1.5".into();
        assert_eq!(error(&text), "parameter `brisque.support_vectors[7][2]`: expected a finite number, found \"1.5\"");
        let mut separate = published();
        separate["brisque"]["support_vectors"] = "brisque_support_vectors.npy".into();
        let expected = "parameter `brisque.support_vectors`: expected an array, found \"brisque_support_vectors.npy\"";
        assert_eq!(error(&separate), expected);
        let mut equal = published();
        equal["brisque"]["range_max"][1] = equal["brisque"]["range_min"][1].clone();
        assert_eq!(error(&equal), "parameter `brisque.range_max`: expected item 1 above 0.017204, found 0.017204");
        let mut unknown = published();
        unknown["niqe"]["mean"] = 1.into();
        assert_eq!(error(&unknown), "parameter `niqe.mean` is unknown");
        let mut flat = published();
        flat["fade"]["foggy"]["cov"][3][3] = 0.into();
        let expected = "expected a `cov` that is symmetric and positive definite, found another one";
        assert_eq!(error(&flat), format!("parameter `fade.foggy`: {expected}"));
        let mut missing = published();
        missing["niqe"].as_object_mut().unwrap().remove("mu");
        assert_eq!(error(&missing), "parameter `niqe.mu` is missing");
        assert_eq!(error(&serde_json::json!([1])), "parameters: expected an object, found [1]");
    }

    #[test]
    fn digest_is_of_the_metric_and_its_bits() {
        let published = Parameters::default();
        let mut other = published.clone();
        other.niqe.covariance[5][7] = f64::from_bits(other.niqe.covariance[5][7].to_bits() + 1);
        assert_ne!(published.digest(Metric::Niqe), other.digest(Metric::Niqe));
        assert_eq!(published.digest(Metric::Brisque), other.digest(Metric::Brisque));
        assert_eq!(published.digest(Metric::Entropy), None);
        let expected = blake3::hash(include_bytes!("../parameters/niqe.f64")).to_hex().to_string();
        assert_eq!(published.digest(Metric::Niqe), Some(expected));
    }
}
