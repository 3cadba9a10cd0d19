-- The database file. What is read from records and predictions is kept in the schema `kept`, row by
-- row as each file has it. Names depend on all runs together and are made anew at every change, as
-- are the selection and the means that the report shows. Whoever opens the file gets them too.

-- name: tables

CREATE SCHEMA kept;

-- The program that made the file: a hash of what decides its content.
CREATE TABLE kept.made_by (program VARCHAR);

-- Each file that was read, below the folder of runs; `problem` says why it was left out.
CREATE TABLE kept.files (path VARCHAR, modified BIGINT, bytes BIGINT, problem VARCHAR);

CREATE TABLE kept.runs (
    run_id VARCHAR, spec_id VARCHAR, counts_id VARCHAR, status VARCHAR, error VARCHAR,
    too_few_images BOOLEAN, n_asked BIGINT, seed BIGINT,
    n_matched BIGINT, n_fetched BIGINT, n_kept BIGINT, n_used BIGINT, n_captions BIGINT,
    positives VARCHAR, image_set VARCHAR, empty_classes JSON, selected_in VARCHAR, epoch DOUBLE, trained_epoch DOUBLE, last_epoch DOUBLE,
    selection JSON, fidelity JSON, timings JSON, images_per_second DOUBLE, peak_memory_mb DOUBLE,
    device VARCHAR, weights VARCHAR, git_commit VARCHAR, git_dirty BOOLEAN, versions JSON,
    started VARCHAR, finished VARCHAR);

-- What runs share that differ in n and seed alone, and by what they were scored.
CREATE TABLE kept.specs (
    spec_id VARCHAR, spec JSON, scored_by VARCHAR[], preset VARCHAR, source VARCHAR, options JSON,
    source_seeds VARCHAR, select_by VARCHAR, selector VARCHAR, image_order VARCHAR, variant JSON,
    model VARCHAR, init VARCHAR, fingerprints VARCHAR, objective_options VARCHAR,
    lr DOUBLE, epochs BIGINT, batch_size BIGINT, train JSON, evaluators JSON);

CREATE TABLE kept.scores (
    run_id VARCHAR, evaluator VARCHAR, split VARCHAR, at_epoch VARCHAR, classes VARCHAR,
    metric VARCHAR, value DOUBLE, n BIGINT, ci_low DOUBLE, ci_high DOUBLE, chosen JSON, trials JSON);

-- What runs share that used one source: how many images each of its stages left.
CREATE TABLE kept.counts (counts_id VARCHAR, stage VARCHAR, counter VARCHAR, value DOUBLE);

-- Predictions of the selected runs alone.
CREATE TABLE kept.predictions (
    run_id VARCHAR, evaluator VARCHAR, split VARCHAR, at_epoch VARCHAR, key VARCHAR, label BIGINT,
    predicted BIGINT, correct DOUBLE);

-- What specs and their evaluators are called.
CREATE TABLE kept.names (
    spec_id VARCHAR, task VARCHAR, label VARCHAR, objective VARCHAR, setting VARCHAR);
CREATE TABLE kept.evaluator_names (
    spec_id VARCHAR, evaluator VARCHAR, label VARCHAR, selects BOOLEAN);

-- What `bench collect` was asked: whether a setting is chosen `once` for an arm, or `per-n`.
CREATE TABLE asked_for (settings VARCHAR);

-- The name of each task in the other tables, and the name or folder by which it was last found.
CREATE TABLE tasks (name VARCHAR, place VARCHAR);

CREATE VIEW runs AS
SELECT run_id, status, error, too_few_images, preset, task, source, label, options, n_asked, seed,
       source_seeds, setting, select_by, selector, image_order, variant, model, init, fingerprints,
       objective, objective_options, lr, epochs, batch_size, train, evaluators,
       n_matched, n_fetched, n_kept, n_used, n_captions, positives, image_set, empty_classes,
       epoch, trained_epoch, last_epoch, selected_in, selection, fidelity, timings,
       images_per_second, peak_memory_mb, device, weights, git_commit, git_dirty, versions,
       started, finished
FROM kept.runs JOIN kept.specs USING (spec_id) JOIN kept.names USING (spec_id);

CREATE VIEW kept.named_scores AS
SELECT run_id, coalesce(names.label, scores.evaluator) AS evaluator, split, at_epoch, classes,
       metric, value, n, ci_low, ci_high, chosen, trials, coalesce(selects, false) AS selects
FROM kept.scores AS scores JOIN kept.runs USING (run_id)
LEFT JOIN kept.evaluator_names AS names
    ON names.spec_id = runs.spec_id AND names.evaluator = scores.evaluator;

CREATE VIEW scores AS
SELECT * EXCLUDE (classes) FROM kept.named_scores WHERE classes = 'all';

CREATE VIEW scores_of_classes AS
SELECT * EXCLUDE (chosen, trials, selects) FROM kept.named_scores WHERE classes <> 'all';

CREATE VIEW stage_counts AS
SELECT run_id, stage, counter, value FROM kept.runs JOIN kept.counts USING (counts_id);

CREATE VIEW predictions AS
SELECT run_id, coalesce(names.label, answered.evaluator) AS evaluator, split, at_epoch, key,
       answered.label, predicted, correct
FROM kept.predictions AS answered JOIN kept.runs USING (run_id)
LEFT JOIN kept.evaluator_names AS names
    ON names.spec_id = runs.spec_id AND names.evaluator = answered.evaluator;

-- name: selection

-- The metric that an experiment's latest run was selected by, and its fingerprints of the task and
-- of the adapted model, which a name alone does not fix. Evaluators that segment images are shown in
-- mIoU, whatever the task's metric: they have no other.
CREATE OR REPLACE TABLE latest AS
SELECT preset, task, model, arg_max(selected_in, (started, run_id)) AS metric,
       arg_max(fingerprints, (started, run_id)) AS fingerprints
FROM runs WHERE status = 'done' GROUP BY ALL;

-- The finished runs with the latest fingerprints; no others are compared.
CREATE OR REPLACE VIEW current AS
SELECT runs.*, metric
FROM runs JOIN latest USING (preset, task, model, fingerprints) WHERE status = 'done';

-- The metric that each evaluator is shown in: the experiment's or, where it is not measured in that
-- one, its own, such as the mean intersection over union of segments beside a probe's accuracy.
CREATE OR REPLACE TABLE shown_in AS
SELECT preset, task, model, evaluator,
       arg_min(scores.metric, (scores.metric <> current.metric, scores.metric)) AS metric
FROM scores JOIN current USING (run_id) GROUP BY ALL;

-- What was asked for with the latest fingerprints, finished or not. Settings (`setting` holds what
-- differs within an arm) are compared in cells: an n asked for and a replicate. `validation` is the
-- score of the evaluator that selects. The unadapted baseline (source `none`) had no objective,
-- whatever its spec says; it is that of runs whose network began alike, as `model` says.
CREATE OR REPLACE VIEW asked AS
SELECT runs.* REPLACE (if(source = 'none', '', objective) AS objective,
                       if(source = 'none', '{}', objective_options) AS objective_options),
       validation,
       coalesce(n_asked::VARCHAR, 'all') AS n_text,
       concat_ws(' ', n_text, seed, source_seeds) AS cell,
       {'preset': preset, 'task': task, 'model': model, 'objective': objective, 'label': label,
        'selector': selector, 'n': if(asked_for.settings = 'per-n', n_text, '')} AS arm
FROM runs JOIN latest USING (preset, task, model, fingerprints)
CROSS JOIN asked_for
LEFT JOIN (
    SELECT run_id, avg(value) AS validation FROM scores
    JOIN current USING (run_id)
    JOIN shown_in ON (shown_in.preset, shown_in.task, shown_in.model, shown_in.evaluator)
        = (current.preset, current.task, current.model, scores.evaluator)
    WHERE selects AND split = 'val' AND at_epoch = 'chosen' AND scores.metric = shown_in.metric
    GROUP BY run_id
) USING (run_id);

-- Every setting of an arm. Of those that finished a run, those compete that were answered in most
-- cells, which is all where one is complete; a cell with too few images is an answer too. The best
-- mean validation score over the cells that all of them finished is chosen; equal ones (to 9
-- digits, which adding up in another order leaves alone) by name. Test scores play no part, nor
-- does a single seed. An arm without a finished run is left out.
CREATE OR REPLACE TABLE settings AS
WITH cells AS (
    SELECT arm, setting, cell, any_value(select_by) AS select_by,
           arg_max(validation, (n_kept, started, run_id)) FILTER (status = 'done') AS validation,
           bool_or(status = 'done') AS finished,
           bool_or(status = 'done' OR too_few_images) AS answered
    FROM asked GROUP BY ALL
), covers AS (
    SELECT arm, setting, any_value(select_by) AS select_by,
           count(*) FILTER (answered) AS cells_answered, bool_or(finished) AS finished
    FROM cells GROUP BY ALL
), rivals AS (
    SELECT *, finished AND cells_answered = max(cells_answered) FILTER (finished) OVER (
        PARTITION BY arm) AS competes
    FROM covers
), counted AS (
    SELECT *, count(*) FILTER (competes) OVER (PARTITION BY arm) AS candidates FROM rivals
), common AS (
    SELECT arm, cell FROM cells JOIN counted USING (arm, setting) WHERE competes
    GROUP BY ALL HAVING count(validation) = any_value(candidates)
), means AS (
    SELECT arm, setting, count(*) AS cells_compared, round(avg(validation), 9) AS validation
    FROM cells SEMI JOIN common USING (arm, cell) GROUP BY ALL
), asked_cells AS (
    SELECT arm, count(DISTINCT cell) AS cells_asked FROM cells GROUP BY ALL
)
SELECT arm, setting, select_by, competes, candidates, cells_answered, cells_asked,
       coalesce(cells_compared, 0) AS cells_compared, validation,
       row_number() OVER (
           PARTITION BY arm ORDER BY competes DESC, validation DESC NULLS LAST, setting
       ) = 1 AS is_chosen
FROM counted JOIN asked_cells USING (arm) LEFT JOIN means USING (arm, setting)
QUALIFY bool_or(finished) OVER (PARTITION BY arm);

-- The runs of the chosen settings, with their scores by every evaluator: one model a point. Of
-- several runs in a cell, which differ in how they were judged or executed, the one whose set of
-- images is largest, then the latest. Where an evaluator selected some runs with other options, a
-- curve shows those of the options that selected most. `--n all` is dropped where it is the same
-- number of images as another run's n, or its mean is another point's. `n_point` is the mean number
-- of images used; a replicate is a seed and a rank among those that an arm's source had with it.
CREATE OR REPLACE TABLE selected AS
WITH scored AS (
    SELECT asked.* EXCLUDE (validation, selected_in), shown_in.metric,
           candidates, test.evaluator, validation.value AS validation,
           test.value AS test, test.n AS test_images, test.ci_low, test.ci_high, test.chosen,
           trained.value AS trained_test, last.value AS last_test,
           count(*) OVER (
               PARTITION BY preset, task, model, objective, label, test.evaluator, selector
           ) AS runs_of_selector
    FROM asked JOIN settings USING (arm, setting)
    JOIN shown_in USING (preset, task, model)
    JOIN scores AS test USING (run_id, evaluator, metric)
    LEFT JOIN scores AS validation ON validation.run_id = asked.run_id
        AND validation.evaluator = test.evaluator AND validation.metric = test.metric
        AND validation.split = 'val' AND validation.at_epoch = 'chosen'
    LEFT JOIN scores AS trained ON trained.run_id = asked.run_id
        AND trained.evaluator = test.evaluator AND trained.metric = test.metric
        AND trained.split = 'test' AND trained.at_epoch = 'trained'
    LEFT JOIN scores AS last ON last.run_id = asked.run_id
        AND last.evaluator = test.evaluator AND last.metric = test.metric
        AND last.split = 'test' AND last.at_epoch = 'last'
    WHERE is_chosen AND status = 'done' AND test.split = 'test' AND test.at_epoch = 'chosen'
), of_one_selector AS (
    SELECT * FROM scored
    QUALIFY selector = arg_max(selector, (runs_of_selector, started, run_id)) OVER (
        PARTITION BY preset, task, model, objective, label, evaluator)
), one_a_cell AS (
    SELECT * FROM of_one_selector
    QUALIFY row_number() OVER (
        PARTITION BY preset, task, model, objective, label, evaluator, cell
        ORDER BY n_kept DESC, started DESC, run_id) = 1
), distinct_n AS (
    SELECT *, dense_rank() OVER (
        PARTITION BY preset, task, model, objective, label, seed ORDER BY source_seeds) AS source_rank
    FROM one_a_cell
    QUALIFY n_asked IS NOT NULL OR count(n_asked) OVER (
        PARTITION BY preset, task, model, objective, label, evaluator, seed, source_seeds, n_used
    ) = 0
), placed AS (
    SELECT *, round(avg(n_used) OVER (
        PARTITION BY preset, task, model, objective, label, n_asked))::BIGINT AS n_point
    FROM distinct_n
)
SELECT * EXCLUDE (source_rank, n_text, cell, runs_of_selector),
       dense_rank() OVER (
           PARTITION BY preset, task, model ORDER BY seed, source_rank) - 1 AS replicate
FROM placed
QUALIFY n_asked IS NOT NULL OR count(n_asked) OVER (
    PARTITION BY preset, task, model, objective, label, n_point) = 0;

-- The means of what was selected; `per-class` scores are left out where they repeat `zero-shot`.
CREATE OR REPLACE TABLE scaling AS
SELECT preset, task, model, init, objective, objective_options, source, variant, label, evaluator,
       metric, n_asked,
       n_point AS n_used, min(selected.n_used) AS n_used_min, max(selected.n_used) AS n_used_max,
       select_by, setting, (FROM asked_for) AS settings_chosen, count(*) AS seeds, avg(test) AS mean,
       min(test) AS seed_min, max(test) AS seed_max, stddev_samp(test) AS seed_std,
       avg(ci_low) AS test_low, avg(ci_high) AS test_high, max(test_images) AS test_images,
       max(n_kept) AS n_kept,
       avg(trained_test) AS trained_mean, avg(last_test) AS last_mean
FROM selected
WHERE evaluator <> 'per-class' OR run_id NOT IN (
    SELECT run_id FROM scores WHERE split_part(evaluator, ' ', 1) = 'zero-shot')
GROUP BY ALL;

-- What the selected runs answered to the test images, at the chosen and at the best trained epoch.
-- Where these are one, a run keeps its predictions once. Images of several labels have no class
-- (-1); what is `correct` of one is what it adds to the mean average precision.
CREATE OR REPLACE VIEW answers AS
SELECT run_id, preset, task, model, objective, source, selected.label, evaluator, metric,
       n_point AS n_used, replicate AS seed, selected.seed AS run_seed, source_seeds,
       wanted.at_epoch, key,
       coalesce(predictions.label, -1) AS class,
       coalesce(predictions.correct, (predictions.label = predicted)::DOUBLE) AS correct
FROM predictions JOIN selected USING (run_id, evaluator)
JOIN (VALUES ('chosen'), ('trained')) AS wanted(at_epoch)
    ON predictions.at_epoch = if(source = 'none' OR epoch = trained_epoch,
                                 'chosen', wanted.at_epoch)
WHERE split = 'test';
