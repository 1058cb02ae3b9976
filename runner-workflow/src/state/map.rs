//! Map, inline (<https://states-language.net/spec.html#map-state>). In DISTRIBUTED mode it is parsed, and not run.

use serde_json::{Map as Object, Value, json};

use super::{Next, Step};
use crate::catch::Catcher;
use crate::definition::{Language, Machine};
use crate::failure::{Failure, names};
use crate::fields::{Fields, Quantity};
use crate::flow::Flow;
use crate::limits::MAP_INLINE_CONCURRENCY;
use crate::path::Path;
use crate::retry::Retrier;
use crate::scene::{Scene, type_name};
use crate::template::Template;

/// Runs one machine for each item; the result has the output of each.
#[derive(Debug, Clone)]
pub struct Map {
    /// What comes in and goes out.
    pub flow: Flow,
    /// Where the items are.
    pub items: Items,
    /// `ItemSelector`, or `Parameters` as it was called: what becomes of an item before its iteration.
    pub item_selector: Option<Template>,
    /// `ItemBatcher`: several items for one iteration.
    pub batcher: Option<Batcher>,
    /// `ItemProcessor`, or `Iterator` as it was called: the machine.
    pub processor: Machine,
    /// `Label`: what its runs are called in DISTRIBUTED mode.
    pub label: Option<String>,
    /// Whether an `ItemReader` brings the items from elsewhere.
    pub has_reader: bool,
    /// Whether a `ResultWriter` takes the results elsewhere.
    pub has_writer: bool,
    /// Whether the mode is DISTRIBUTED.
    pub is_distributed: bool,
    /// How many iterations run at once; 0 or absent for as many as are allowed.
    pub max_concurrency: Option<Quantity>,
    /// How many iterations may fail.
    pub tolerated_count: Option<Quantity>,
    /// How many of a hundred iterations may fail.
    pub tolerated_percentage: Option<Quantity>,
    /// When all of them are tried again.
    pub retry: Vec<Retrier>,
    /// Where the run goes when too many failed.
    pub catch: Vec<Catcher>,
    /// Where it goes.
    pub next: Next,
}

/// Where the items of a Map are.
#[derive(Debug, Clone)]
pub enum Items {
    /// They are the state's input.
    Input,
    /// `ItemsPath`: they are somewhere in it.
    Path(Path),
    /// `Items` in JSONata.
    Template(Template),
}

/// `ItemBatcher`.
#[derive(Debug, Clone)]
pub struct Batcher {
    /// How many items a batch may have.
    pub items_max: Option<Quantity>,
    /// How many bytes of JSON its items may have.
    pub bytes_max: Option<Quantity>,
    /// What every batch gets besides.
    pub input: Option<Template>,
}

/// What is to be iterated.
pub(crate) struct Iteration {
    pub(crate) items: Vec<Value>,
    /// What `$` is for the item selector.
    pub(crate) effective: Value,
    pub(crate) concurrency: usize,
    /// How many iterations may fail; `None` where the first failure is the state's own.
    pub(crate) tolerated: Option<u64>,
}

const FIELDS: [&str; 15] = [
    "Assign",
    "Catch",
    "End",
    "ItemBatcher",
    "ItemProcessor",
    "ItemReader",
    "ItemSelector",
    "Iterator",
    "Label",
    "MaxConcurrency",
    "Next",
    "ResultWriter",
    "Retry",
    "ToleratedFailureCount",
    "ToleratedFailurePercentage",
];

const FIELDS_OF_PATHS: [&str; 9] = [
    "InputPath",
    "ItemsPath",
    "MaxConcurrencyPath",
    "OutputPath",
    "Parameters",
    "ResultPath",
    "ResultSelector",
    "ToleratedFailureCountPath",
    "ToleratedFailurePercentagePath",
];

impl Map {
    pub(crate) fn check(fields: &mut Fields<'_, '_>, depth: usize) -> Option<Self> {
        fields.allow_in_state(&FIELDS, &FIELDS_OF_PATHS, &["Items", "Output"]);
        let name = if fields.has("Iterator") { "Iterator" } else { "ItemProcessor" };
        fields.require(&[name]);
        let is_path = fields.language == Language::JsonPath;
        let selector = if is_path && fields.has("Parameters") { "Parameters" } else { "ItemSelector" };
        let object = fields.object;
        let pointer = fields.at(name);
        let (has_reader, has_writer) = (fields.has("ItemReader"), fields.has("ResultWriter"));
        let mut is_distributed = has_reader || has_writer;
        let processor = object.get(name).and_then(|value| {
            let mut inner = fields.within(value, pointer)?;
            let mode = inner.object.get("ProcessorConfig").and_then(|config| config.get("Mode"));
            is_distributed |= mode.and_then(Value::as_str) == Some("DISTRIBUTED");
            Machine::check(&mut inner, depth)
        });
        let items = match (is_path, fields.has("ItemsPath"), fields.has("Items")) {
            (true, true, _) => fields.path("ItemsPath").map(Items::Path),
            (false, _, true) => fields.template("Items").map(Items::Template),
            _ => None,
        };
        let batcher = object.get("ItemBatcher").and_then(|value| {
            let pointer = fields.at("ItemBatcher");
            let mut inner = fields.within(value, pointer)?;
            Some(Batcher {
                items_max: inner.quantity("MaxItemsPerBatch"),
                bytes_max: inner.quantity("MaxInputBytesPerBatch"),
                input: inner.template("BatchInput"),
            })
        });
        Some(Self {
            flow: Flow::check(fields, None),
            items: items.unwrap_or(Items::Input),
            item_selector: fields.template(selector),
            batcher,
            processor: processor?,
            label: fields.text("Label"),
            has_reader,
            has_writer,
            is_distributed,
            max_concurrency: fields.quantity("MaxConcurrency"),
            tolerated_count: fields.quantity("ToleratedFailureCount"),
            tolerated_percentage: fields.quantity("ToleratedFailurePercentage"),
            retry: Retrier::check_all(fields),
            catch: Catcher::check_all(fields),
            next: Next::check(fields),
        })
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        let effective = self.flow.effective(scene)?.into_owned();
        let inner = scene.looking_at(&effective);
        let items = self.items(&inner)?;
        let items = self.batches(&inner, items)?;
        let (concurrency, tolerated) = (self.concurrency(&inner)?, self.tolerated(&inner, items.len())?);
        Ok(Step::Iterate(Iteration {
            items,
            effective,
            concurrency: concurrency.unwrap_or(MAP_INLINE_CONCURRENCY),
            tolerated,
        }))
    }

    /// How many iterations may run at once; `None` for as many as are allowed.
    pub(crate) fn concurrency(&self, scene: &Scene<'_>) -> Result<Option<usize>, Failure> {
        let concurrency = whole(scene, self.max_concurrency.as_ref(), "MaxConcurrency")?;
        Ok(concurrency.filter(|count| *count > 0).and_then(|count| usize::try_from(count).ok()))
    }

    /// What the iterations are given: the items, or batches of them.
    pub(crate) fn batches(&self, scene: &Scene<'_>, items: Vec<Value>) -> Result<Vec<Value>, Failure> {
        match &self.batcher {
            Some(batcher) => batcher.batches(scene, items),
            None => Ok(items),
        }
    }

    pub(crate) fn items(&self, scene: &Scene<'_>) -> Result<Vec<Value>, Failure> {
        match &self.items {
            Items::Template(Template::Hole(hole)) => match scene.fill_as(hole, "array")? {
                Value::Array(items) => Ok(items),
                _ => Ok(Vec::new()),
            },
            Items::Template(template) => match template.fill(scene)? {
                Value::Array(items) => Ok(items),
                other => {
                    let cause = format!("Map state Items must be an array but was: {other}");
                    Err(Failure::query(cause, "Items"))
                }
            },
            Items::Path(path) => match scene.must_find(path)?.into_owned() {
                Value::Array(items) => Ok(items),
                _ => Err(Failure::runtime(format!("Reference path \"{}\" must point to array.", path.within_root()))),
            },
            Items::Input => match (scene.dollar, self.flow.language) {
                (Value::Array(items), _) => Ok(items.clone()),
                (_, Language::JsonPath) => Err(Failure::runtime("Reference path \"$\" must point to array.")),
                (other, Language::Jsonata) => {
                    let cause = format!("Map state input must be an array but was: {other}");
                    Err(Failure::new(names::QUERY_EVALUATION, cause))
                }
            },
        }
    }

    /// How many iterations may fail; `None` where that is not said.
    pub(crate) fn tolerated(&self, scene: &Scene<'_>, items: usize) -> Result<Option<u64>, Failure> {
        let count = whole(scene, self.tolerated_count.as_ref(), "ToleratedFailureCount")?;
        let Some(quantity) = &self.tolerated_percentage else { return Ok(count) };
        let value = scene.quantity(quantity)?;
        let percentage =
            value.as_f64().ok_or_else(|| no_number("ToleratedFailurePercentage", quantity, &value, "float"))?;
        if !(0.0..=100.0).contains(&percentage) {
            return Err(wrong(
                "ToleratedFailurePercentage must be between 0 and 100.",
                quantity,
                "ToleratedFailurePercentage",
            ));
        }
        // The failures may reach the percentage, and not pass it.
        let of_all = (percentage * items as f64 / 100.0).floor() as u64;
        Ok(Some(count.map_or(of_all, |count| count.min(of_all))))
    }
}

impl Batcher {
    fn batches(&self, scene: &Scene<'_>, items: Vec<Value>) -> Result<Vec<Value>, Failure> {
        let items_max = whole(scene, self.items_max.as_ref(), "MaxItemsPerBatch")?.filter(|max| *max > 0);
        let bytes_max = whole(scene, self.bytes_max.as_ref(), "MaxInputBytesPerBatch")?.filter(|max| *max > 0);
        let input = self.input.as_ref().map(|template| template.fill(scene)).transpose()?;
        let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0_u64);
        for item in items {
            let size = item.to_string().len() as u64;
            let is_full = items_max.is_some_and(|max| batch.len() as u64 >= max)
                || bytes_max.is_some_and(|max| bytes + size > max);
            if is_full && !batch.is_empty() {
                batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            batch.push(item);
            bytes += size;
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        let one = |batch| {
            let mut object = Object::new();
            object.extend(input.clone().map(|input| ("BatchInput".to_owned(), input)));
            object.insert("Items".to_owned(), json!(batch));
            Value::Object(object)
        };
        Ok(batches.into_iter().map(one).collect())
    }
}

/// A whole number that is not negative.
fn whole(scene: &Scene<'_>, quantity: Option<&Quantity>, field: &str) -> Result<Option<u64>, Failure> {
    let Some(quantity) = quantity else { return Ok(None) };
    let value = scene.quantity(quantity)?;
    let number = value.as_i64().ok_or_else(|| no_number(field, quantity, &value, "integer"))?;
    let negative = |_| wrong(&format!("{field} cannot be negative."), quantity, field);
    u64::try_from(number).map(Some).map_err(negative)
}

fn no_number(field: &str, quantity: &Quantity, value: &Value, wanted: &str) -> Failure {
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match quantity {
        Quantity::Path(path) => Failure::runtime(format!(
            "The {field}Path field refers to value \"{shown}\" which is not a valid {wanted}: {path}"
        )),
        _ => Failure::query(
            format!("The field {field} must be a valid {wanted}, but was '{}': {shown}", type_name(value)),
            field,
        ),
    }
}

fn wrong(cause: &str, quantity: &Quantity, field: &str) -> Failure {
    match quantity {
        Quantity::Expression(_) => Failure::query(cause, field),
        _ => Failure::runtime(cause),
    }
}
