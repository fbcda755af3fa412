//! The statistics as SQL aggregates, such as `srcc(score, mos)`. An undefined measure is NULL. Rows with a NULL or NaN
//! score or label are ignored.
//!
//! A rank measure needs all rows of a group at once, so the state of a group, which partitions merge, is its rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StringArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, UInt32Type};
use datafusion::common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;

use dqa_stats::{self as stats, Columns, Logistic};

/// Registers the aggregates with `context`.
pub fn register(context: &SessionContext) {
    all().for_each(|function| context.register_udaf(function));
}

/// Returns all aggregates.
pub fn all() -> impl Iterator<Item = AggregateUDF> {
    Measure::ALL.into_iter().map(|measure| {
        AggregateUDF::from(MeasureFunction { measure, signature: Signature::user_defined(Volatility::Immutable) })
    })
}

/// The measure that an aggregate computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Measure {
    Srcc,
    Krcc,
    Plcc,
    Rmse,
    PlccLogistic4,
    PlccLogistic5,
    RmseLogistic4,
    RmseLogistic5,
    PairwiseAccuracy,
}

impl Measure {
    const ALL: [Measure; 9] = [
        Measure::Srcc,
        Measure::Krcc,
        Measure::Plcc,
        Measure::Rmse,
        Measure::PlccLogistic4,
        Measure::PlccLogistic5,
        Measure::RmseLogistic4,
        Measure::RmseLogistic5,
        Measure::PairwiseAccuracy,
    ];

    fn name(self) -> &'static str {
        match self {
            Measure::Srcc => "srcc",
            Measure::Krcc => "krcc",
            Measure::Plcc => "plcc",
            Measure::Rmse => "rmse",
            Measure::PlccLogistic4 => "plcc_logistic4",
            Measure::PlccLogistic5 => "plcc_logistic5",
            Measure::RmseLogistic4 => "rmse_logistic4",
            Measure::RmseLogistic5 => "rmse_logistic5",
            Measure::PairwiseAccuracy => "pairwise_accuracy",
        }
    }

    fn needs_scenes(self) -> bool {
        self == Measure::PairwiseAccuracy
    }

    fn compute(self, rows: &MeasureAccumulator) -> Option<f64> {
        let (x, y) = (rows.score.as_slice(), rows.mos.as_slice());
        match self {
            Measure::Srcc => stats::srcc(x, y),
            Measure::Krcc => stats::krcc(x, y),
            Measure::Plcc => stats::plcc(x, y),
            Measure::Rmse => stats::rmse(x, y),
            Measure::PlccLogistic4 => stats::fit_logistic(Logistic::Four, x, y).plcc,
            Measure::PlccLogistic5 => stats::fit_logistic(Logistic::Five, x, y).plcc,
            Measure::RmseLogistic4 => stats::fit_logistic(Logistic::Four, x, y).rmse,
            Measure::RmseLogistic5 => stats::fit_logistic(Logistic::Five, x, y).rmse,
            Measure::PairwiseAccuracy => {
                let columns = Columns { score: x, mos: y, scene: &rows.scene };
                stats::pairwise_accuracy(&columns).and_then(|accuracy| accuracy.value())
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct MeasureFunction {
    measure: Measure,
    signature: Signature,
}

impl AggregateUDFImpl for MeasureFunction {
    fn name(&self) -> &str {
        self.measure.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    /// Accepts numbers of any type, and a scene of any type that can be cast to text.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_number = |data_type: &DataType| data_type.is_numeric() || data_type.is_null();
        match types {
            [score, mos] if !self.measure.needs_scenes() && is_number(score) && is_number(mos) => {
                Ok(vec![DataType::Float64; 2])
            }
            [score, mos, scene]
                if self.measure.needs_scenes() && is_number(score) && is_number(mos) && !scene.is_nested() =>
            {
                Ok(vec![DataType::Float64, DataType::Float64, DataType::Utf8])
            }
            _ => {
                let takes = if self.measure.needs_scenes() { "(score, mos, scene)" } else { "(score, mos)" };
                let type_names: Vec<String> = types.iter().map(ToString::to_string).collect();
                plan_err!(
                    "{} takes {takes}, the first two of them numbers, not ({})",
                    self.name(),
                    type_names.join(", ")
                )
            }
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("{} of DISTINCT rows", self.name());
        }
        Ok(Box::new(MeasureAccumulator::new(self.measure)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let state = MeasureAccumulator::new(self.measure).take_lists();
        let field = |(name, list): (&str, ListArray)| {
            Arc::new(Field::new(format_state_name(args.name, name), list.data_type().clone(), false))
        };
        Ok(STATE_FIELDS.into_iter().zip(state).map(field).collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Names of the state's fields. The last two are only used by measures that need scenes.
const STATE_FIELDS: [&str; 4] = ["score", "mos", "scene", "scene_names"];

/// The rows of a group.
#[derive(Debug)]
struct MeasureAccumulator {
    measure: Measure,
    score: Vec<f64>,
    mos: Vec<f64>,
    /// The index of each row's scene. Empty if the measure does not need scenes.
    scene: Vec<u32>,
    /// The index of each scene by its name.
    scene_indices: HashMap<Box<str>, u32>,
}

impl MeasureAccumulator {
    fn new(measure: Measure) -> MeasureAccumulator {
        MeasureAccumulator {
            measure,
            score: Vec::new(),
            mos: Vec::new(),
            scene: Vec::new(),
            scene_indices: HashMap::new(),
        }
    }

    fn scene_index(&mut self, scene: &str) -> u32 {
        if let Some(&number) = self.scene_indices.get(scene) {
            return number;
        }
        let number = u32::try_from(self.scene_indices.len()).expect("memory holds fewer names");
        self.scene_indices.insert(scene.into(), number);
        number
    }

    /// Takes the rows out, as lists of one element each for the [`Accumulator::merge_batch`] of another accumulator.
    fn take_lists(&mut self) -> Vec<ListArray> {
        let rows = std::mem::replace(self, MeasureAccumulator::new(self.measure));
        let mut lists = vec![
            single_list(Arc::new(Float64Array::from(rows.score))),
            single_list(Arc::new(Float64Array::from(rows.mos))),
        ];
        if self.measure.needs_scenes() {
            let mut names: Vec<(Box<str>, u32)> = rows.scene_indices.into_iter().collect();
            names.sort_unstable_by_key(|(_, number)| *number);
            lists.push(single_list(Arc::new(UInt32Array::from(rows.scene))));
            lists.push(single_list(Arc::new(StringArray::from_iter_values(names.into_iter().map(|(name, _)| name)))));
        }
        lists
    }
}

impl Accumulator for MeasureAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (score, mos) = (values[0].as_primitive::<Float64Type>(), values[1].as_primitive::<Float64Type>());
        let scene = values.get(2).map(|scene| scene.as_string::<i32>());
        for row in 0..score.len() {
            let is_there = score.is_valid(row) && mos.is_valid(row) && scene.is_none_or(|scene| scene.is_valid(row));
            let (x, y) = (score.value(row), mos.value(row));
            if !is_there || x.is_nan() || y.is_nan() {
                continue;
            }
            self.score.push(x);
            self.mos.push(y);
            if let Some(scene) = scene {
                let number = self.scene_index(scene.value(row));
                self.scene.push(number);
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists: Vec<&ListArray> = states.iter().map(|state| state.as_list::<i32>()).collect();
        for group in 0..lists[0].len() {
            self.score.extend_from_slice(lists[0].value(group).as_primitive::<Float64Type>().values());
            self.mos.extend_from_slice(lists[1].value(group).as_primitive::<Float64Type>().values());
            if self.measure.needs_scenes() {
                let names = lists[3].value(group);
                let scene_indices: Vec<u32> =
                    names.as_string::<i32>().iter().flatten().map(|name| self.scene_index(name)).collect();
                let scene = lists[2].value(group);
                self.scene.extend(
                    scene.as_primitive::<UInt32Type>().values().iter().map(|&index| scene_indices[index as usize]),
                );
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.take_lists().into_iter().map(|list| ScalarValue::List(Arc::new(list))).collect())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.measure.compute(self)))
    }

    fn size(&self) -> usize {
        let names: usize = self.scene_indices.keys().map(|name| name.len() + size_of::<(Box<str>, u32)>()).sum();
        size_of_val(self) + 8 * (self.score.capacity() + self.mos.capacity()) + 4 * self.scene.capacity() + names
    }
}

fn single_list(items: ArrayRef) -> ListArray {
    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    ListArray::new(field, OffsetBuffer::from_lengths([items.len()]), items, None)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, RecordBatch};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionConfig;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const ROWS: usize = 3000;
    const ALGORITHMS: [&str; 3] = ["aod", "dcp", "gca"];

    /// A table `t` in four partitions: of algorithm, scene, score with NULL and NaN, mos as whole numbers with NULL.
    struct Table {
        algorithm: Vec<&'static str>,
        scene: Vec<String>,
        score: Vec<Option<f64>>,
        mos: Vec<Option<i32>>,
    }

    impl Table {
        fn new() -> Table {
            let mut random = ChaCha8Rng::seed_from_u64(7);
            let mut table = Table { algorithm: vec![], scene: vec![], score: vec![], mos: vec![] };
            for row in 0..ROWS {
                let score: f64 = (random.random::<f64>() * 50.0).floor() / 50.0;
                table.algorithm.push(ALGORITHMS[row % 3]);
                table.scene.push(format!("s{}", row % 40));
                table.mos.push((row % 11 != 0).then(|| (score * 5.0 + random.random::<f64>() * 5.0) as i32));
                table.score.push(if row % 17 == 0 { Some(f64::NAN) } else { (row % 13 != 0).then_some(score) });
            }
            table
        }

        fn context(&self) -> SessionContext {
            let columns: [(&str, ArrayRef); 4] = [
                ("algorithm", Arc::new(StringArray::from(self.algorithm.clone()))),
                ("scene", Arc::new(StringArray::from(self.scene.clone()))),
                ("score", Arc::new(Float64Array::from(self.score.clone()))),
                ("mos", Arc::new(Int32Array::from(self.mos.clone()))),
            ];
            let batch =
                RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
            let parts = (0..4).map(|part| vec![batch.slice(part * ROWS / 4, ROWS / 4)]).collect();
            let context =
                SessionContext::new_with_config(SessionConfig::new().with_target_partitions(4).with_batch_size(97));
            register(&context);
            context.register_table("t", Arc::new(MemTable::try_new(batch.schema(), parts).unwrap())).unwrap();
            context
        }

        /// Computes `measure` over the rows for which `keep` is true.
        fn wanted(&self, measure: Measure, keep: impl Fn(usize) -> bool) -> Option<f64> {
            let mut rows = MeasureAccumulator::new(measure);
            for row in (0..ROWS).filter(|&row| keep(row)) {
                if let (Some(score), Some(mos)) = (self.score[row].filter(|score| !score.is_nan()), self.mos[row]) {
                    rows.score.push(score);
                    rows.mos.push(f64::from(mos));
                    rows.scene.push(row as u32 % 40);
                }
            }
            measure.compute(&rows)
        }
    }

    fn call(measure: Measure) -> String {
        format!("{}(score, mos{})", measure.name(), if measure.needs_scenes() { ", scene" } else { "" })
    }

    /// Returns the numbers of the last column.
    async fn numbers(context: &SessionContext, sql: &str) -> Vec<Option<f64>> {
        let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
        let column = |batch: &RecordBatch| {
            let last = batch.columns().last().unwrap();
            last.as_primitive::<Float64Type>().iter().collect::<Vec<_>>()
        };
        batches.iter().flat_map(column).collect()
    }

    fn assert_near(values: &[Option<f64>], wanted: &[Option<f64>], what: &str) {
        assert_eq!(values.len(), wanted.len(), "{what}");
        for (value, wanted) in values.iter().zip(wanted) {
            let near = match (value, wanted) {
                (Some(value), Some(wanted)) => (value - wanted).abs() < 1e-9 * wanted.abs().max(1.0),
                (value, wanted) => value == wanted,
            };
            assert!(near, "{what}: {value:?} for {wanted:?}");
        }
    }

    #[tokio::test]
    async fn every_measure_is_the_statistics_over_partitions() {
        let table = Table::new();
        let context = table.context();
        for measure in Measure::ALL {
            let sql = format!("SELECT {} FROM t", call(measure));
            assert_near(&numbers(&context, &sql).await, &[table.wanted(measure, |_| true)], &sql);
            let sql = format!("SELECT algorithm, {} FROM t GROUP BY algorithm ORDER BY 1", call(measure));
            let wanted: Vec<_> = (0..3).map(|group| table.wanted(measure, |row| row % 3 == group)).collect();
            assert_near(&numbers(&context, &sql).await, &wanted, &sql);
            let sql = format!("SELECT {} FILTER (WHERE algorithm <> 'dcp') FROM t", call(measure));
            assert_near(&numbers(&context, &sql).await, &[table.wanted(measure, |row| row % 3 != 1)], &sql);
        }
    }

    #[tokio::test]
    async fn many_groups_are_as_one_at_a_time() {
        let table = Table::new();
        let context = table.context();
        for measure in [Measure::Krcc, Measure::PairwiseAccuracy] {
            let sql =
                format!("SELECT scene, {} FROM t GROUP BY 1 ORDER BY CAST(substr(scene, 2) AS INT)", call(measure));
            let wanted: Vec<_> = (0..40).map(|group| table.wanted(measure, |row| row % 40 == group)).collect();
            assert_near(&numbers(&context, &sql).await, &wanted, &sql);
        }
    }

    #[tokio::test]
    async fn what_is_not_defined_is_null() {
        let context = Table::new().context();
        for sql in [
            "SELECT srcc(score, mos) FROM t WHERE false",
            "SELECT krcc(score, 1) FROM t",
            "SELECT plcc(score, NULL) FROM t",
            "SELECT rmse_logistic5(score, mos) FROM (SELECT * FROM t LIMIT 1)",
            "SELECT pairwise_accuracy(score, mos, NULL) FROM t",
        ] {
            assert_eq!(numbers(&context, sql).await, [None], "{sql}");
        }
    }

    #[tokio::test]
    async fn numbers_and_scenes_of_other_types_are_taken() {
        let table = Table::new();
        let context = table.context();
        let sql = "SELECT srcc(CAST(round(score * 50) AS INT), CAST(mos AS DECIMAL(9, 2))) FROM t WHERE score <> 'NaN'::double";
        assert_near(&numbers(&context, sql).await, &[table.wanted(Measure::Srcc, |_| true)], sql);
        let sql = "SELECT pairwise_accuracy(score, mos, CAST(substr(scene, 2) AS INT)) FROM t";
        assert_near(&numbers(&context, sql).await, &[table.wanted(Measure::PairwiseAccuracy, |_| true)], sql);
    }

    #[tokio::test]
    async fn wrong_arguments_say_what_is_taken() {
        let context = Table::new().context();
        for (sql, says) in [
            ("SELECT srcc(score) FROM t", "srcc takes (score, mos)"),
            (
                "SELECT krcc(scene, mos) FROM t",
                "krcc takes (score, mos), the first two of them numbers, not (Utf8, Int32)",
            ),
            ("SELECT pairwise_accuracy(score, mos) FROM t", "pairwise_accuracy takes (score, mos, scene)"),
        ] {
            let error = context.sql(sql).await.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let distinct = context.sql("SELECT srcc(DISTINCT score, mos) FROM t").await.unwrap().collect().await;
        assert!(distinct.unwrap_err().to_string().contains("srcc of DISTINCT rows"));
    }
}
