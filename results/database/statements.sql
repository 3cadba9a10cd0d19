-- Every statement that is put to the database, by name.

-- name: insert_made_by
INSERT INTO kept.made_by VALUES ($program)

-- name: tidy
SELECT run_id, status, preset, task, model, objective, source, label, setting, n_asked, n_used,
       n_kept, seed, source_seeds, lr, epochs, batch_size, run_id IN (SELECT run_id FROM selected)
       AS is_selected, evaluator, split, at_epoch, metric, value, ci_low, ci_high, n AS images,
       device, started, finished, error
FROM runs LEFT JOIN scores USING (run_id)
WHERE $run_ids IS NULL OR list_contains($run_ids, run_id)
ORDER BY task, label, n_used, seed, setting, run_id, split DESC, at_epoch, evaluator, metric

-- name: columns
SELECT table_name, column_name, if(data_type LIKE 'STRUCT%', 'STRUCT', data_type)
FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal
ORDER BY table_name, column_index

-- name: relations
SELECT if(schema_name = 'main', table_name, schema_name || '.' || table_name) FROM duckdb_tables()
UNION ALL
SELECT if(schema_name = 'main', view_name, schema_name || '.' || view_name) FROM duckdb_views()
WHERE NOT internal

-- name: checkpoint
CHECKPOINT

-- name: short_predictions
SELECT run_id, min(evaluator), min(images), max(n)
FROM (SELECT run_id, evaluator, split, at_epoch, count(*) AS images
      FROM kept.predictions GROUP BY ALL) AS answered
JOIN (SELECT DISTINCT run_id, evaluator, split, at_epoch, n FROM kept.scores) AS scored
    USING (run_id, evaluator, split, at_epoch)
WHERE images < n GROUP BY run_id ORDER BY run_id

-- name: delete_predictions_of
DELETE FROM kept.predictions WHERE run_id = $run_id

-- name: made_by
FROM kept.made_by

-- name: files
FROM kept.files

-- name: insert_files
INSERT INTO kept.files BY NAME FROM incoming

-- name: delete_files
DELETE FROM kept.files WHERE path IN (SELECT path FROM outgoing)

-- name: delete_runs
DELETE FROM kept.runs WHERE run_id IN (SELECT run_id FROM outgoing)

-- name: delete_scores
DELETE FROM kept.scores WHERE run_id IN (SELECT run_id FROM outgoing)

-- name: delete_predictions
DELETE FROM kept.predictions WHERE run_id IN (SELECT run_id FROM outgoing)

-- name: delete_specs
DELETE FROM kept.specs WHERE spec_id NOT IN (SELECT spec_id FROM kept.runs)

-- name: delete_counts
DELETE FROM kept.counts WHERE counts_id NOT IN (SELECT counts_id FROM kept.runs)

-- name: insert_runs
INSERT INTO kept.runs BY NAME FROM incoming

-- name: insert_scores
INSERT INTO kept.scores BY NAME FROM incoming

-- name: insert_specs
INSERT INTO kept.specs BY NAME FROM incoming ANTI JOIN kept.specs USING (spec_id)

-- name: insert_counts
INSERT INTO kept.counts BY NAME FROM incoming ANTI JOIN kept.counts USING (counts_id)

-- name: insert_predictions
INSERT INTO kept.predictions
SELECT run_id, evaluator, split, coalesce(at_epoch, 'chosen'), key, label, predicted, correct
FROM (
    SELECT *, parse_path(filename)[-2] AS run_id
    FROM read_parquet($paths, filename = true, union_by_name = true)
    -- Files of earlier versions have no epoch, those of tasks with one label no such share.
    UNION ALL BY NAME SELECT NULL::VARCHAR AS at_epoch, NULL::DOUBLE AS correct WHERE false
)

-- name: specs
SELECT spec_id, spec, scored_by, max(started) AS started
FROM kept.specs JOIN kept.runs USING (spec_id) GROUP BY ALL ORDER BY spec_id

-- name: clear_names
DELETE FROM kept.names

-- name: insert_names
INSERT INTO kept.names BY NAME FROM incoming

-- name: clear_evaluator_names
DELETE FROM kept.evaluator_names

-- name: insert_evaluator_names
INSERT INTO kept.evaluator_names BY NAME FROM incoming

-- name: clear_tasks
DELETE FROM tasks

-- name: insert_tasks
INSERT INTO tasks BY NAME FROM incoming

-- name: clear_asked_for
DELETE FROM asked_for

-- name: insert_asked_for
INSERT INTO asked_for VALUES ($settings)

-- name: selected_ids
SELECT DISTINCT run_id FROM selected

-- name: task_place
SELECT place FROM tasks WHERE name = $task

-- name: task_name
SELECT name FROM tasks WHERE place = $place

-- name: experiments
SELECT DISTINCT preset, task, model, objective FROM current AS run
WHERE source <> 'none' OR NOT EXISTS (
    FROM current AS other WHERE other.source <> 'none'
    AND (other.preset, other.task, other.model) = (run.preset, run.task, run.model))
ORDER BY ALL

-- name: selected_runs
SELECT * FROM selected
WHERE (preset, task, model) = ($preset, $task, $model) AND objective IN ($objective, '')
ORDER BY source <> 'none', label, n_used, seed,
    regexp_replace(evaluator, '[0-9]+', '', 'g'), length(evaluator), evaluator

-- name: settings
SELECT arm.label AS label, arm.selector AS selector, arm.n AS n, settings.* EXCLUDE (arm) FROM settings
WHERE (arm.preset, arm.task, arm.model, arm.objective) = ($preset, $task, $model, $objective)
ORDER BY label, selector, TRY_CAST(n AS BIGINT), is_chosen DESC, validation DESC NULLS LAST, setting

-- name: settings_rule
FROM asked_for

-- name: scaling
SELECT * FROM scaling
WHERE (preset, task, model) = ($preset, $task, $model) AND objective IN ($objective, '')
ORDER BY source <> 'none', label, n_used, evaluator

-- name: answers
SELECT label AS arm, metric, n_used, seed, run_seed, source_seeds, key, class, correct FROM answers
WHERE (preset, task, model) = ($preset, $task, $model) AND objective IN ($objective, '')
AND evaluator = $evaluator AND at_epoch = $at_epoch
AND (n_used = coalesce($n, n_used) OR source = 'none')
AND list_contains($arms, label)

-- name: answered
SELECT run_id, key, class, correct FROM answers
WHERE (preset, task, model) = ($preset, $task, $model)
AND (objective IN ($objective, '') OR $objective = '') AND evaluator = $evaluator AND at_epoch = $at_epoch

-- name: answering
SELECT run_id, objective, label AS arm, n_point AS n_used, replicate AS seed, seed AS run_seed,
       source_seeds, metric
FROM selected
WHERE (preset, task, model) = ($preset, $task, $model)
AND (objective IN ($objective, '') OR $objective = '') AND evaluator = $evaluator

-- name: class_accuracies
SELECT label AS arm, n_used, class, avg(correct) AS accuracy, count(DISTINCT key) AS images
FROM answers
WHERE (preset, task, model) = ($preset, $task, $model) AND objective IN ($objective, '')
AND evaluator = $evaluator AND at_epoch = 'chosen' AND class >= 0
GROUP BY ALL ORDER BY ALL

-- name: missing_runs
WITH refused AS (
    SELECT run_id FROM asked JOIN settings USING (arm, setting) WHERE NOT is_chosen
), wanted AS (
    SELECT *, run_id IN (SELECT run_id FROM current) AS current,
           run_id IN (FROM refused) AS refused
    FROM runs WHERE source <> 'none'
    AND (preset, task, model, objective) = ($preset, $task, $model, $objective)
)
SELECT label, n_asked, seed,
       coalesce(any_value(wanted.error) FILTER (status = 'failed' AND NOT refused), '') AS error,
       coalesce(bool_or(too_few_images AND NOT refused), false) AS too_few_images,
       count(*) FILTER (wanted.current) > 0 AS of_another_setting, any_value(kept) AS kept
FROM (SELECT label, max(n_kept) AS kept FROM wanted GROUP BY label)
CROSS JOIN (SELECT DISTINCT n_asked, seed FROM wanted WHERE n_asked IS NOT NULL)
LEFT JOIN wanted USING (label, n_asked, seed)
GROUP BY label, n_asked, seed
HAVING count(*) FILTER (wanted.current AND NOT refused) = 0
ORDER BY label, n_asked, seed

-- name: image_counts
SELECT label, n_asked, n_matched, n_fetched, n_kept, n_used, image_set FROM selected
WHERE (preset, task, model, objective) = ($preset, $task, $model, $objective)
QUALIFY row_number() OVER (PARTITION BY label ORDER BY n_used DESC, seed, run_id) = 1
ORDER BY label

-- name: empty_classes
SELECT label, n_used, arg_max(empty_classes, json_array_length(empty_classes)) AS names
FROM selected
WHERE (preset, task, model, objective) = ($preset, $task, $model, $objective)
AND json_array_length(empty_classes) > 0
GROUP BY ALL ORDER BY ALL

-- name: scores_of_classes
SELECT label, n_point AS n_used, selected.evaluator, metric, count(DISTINCT run_id) AS seeds,
       min(json_array_length(empty_classes)) AS fewest_unseen,
       max(json_array_length(empty_classes)) AS most_unseen,
       avg(part.value) FILTER (classes = 'seen') AS seen,
       avg(part.ci_low) FILTER (classes = 'seen') AS seen_low,
       avg(part.ci_high) FILTER (classes = 'seen') AS seen_high,
       max(part.n) FILTER (classes = 'seen') AS seen_images,
       avg(part.value) FILTER (classes = 'unseen') AS unseen,
       avg(part.ci_low) FILTER (classes = 'unseen') AS unseen_low,
       avg(part.ci_high) FILTER (classes = 'unseen') AS unseen_high,
       max(part.n) FILTER (classes = 'unseen') AS unseen_images
FROM selected JOIN scores_of_classes AS part USING (run_id, evaluator, metric)
WHERE (preset, task, model, objective) = ($preset, $task, $model, $objective)
AND part.split = 'test' AND part.at_epoch = 'chosen'
GROUP BY ALL ORDER BY label, n_used, evaluator

-- name: small_groups
SELECT label, n_asked, arg_max(n_used, value) + max(value)::BIGINT AS images,
       max(value)::BIGINT AS left_out
FROM selected JOIN stage_counts USING (run_id)
WHERE (preset, task, model, objective) = ($preset, $task, $model, $objective)
AND (stage, counter) = ('too_small_groups', 'images')
GROUP BY label, n_asked ORDER BY ALL

-- name: image_sets
SELECT DISTINCT label, source, image_set FROM selected
WHERE (preset, task, model, objective) = ($preset, $task, $model, $objective)
ORDER BY ALL

-- name: source_seconds
SELECT image_set, max((timings ->> 'source')::DOUBLE) AS seconds FROM runs
WHERE status = 'done' GROUP BY image_set

-- name: fidelity
SELECT fidelity FROM current
WHERE (preset, task, model) = ($preset, $task, $model) AND fidelity::VARCHAR <> '{}'
ORDER BY source = 'synthetic' DESC, started DESC, run_id LIMIT 1

-- name: count_outdated
SELECT count(*) FROM runs
WHERE (preset, task, model) = ($preset, $task, $model) AND status = 'done'
AND run_id NOT IN (SELECT run_id FROM current)

-- name: failures
SELECT run_id, preset, task, source, objective, n_asked, seed, error FROM runs
WHERE status = 'failed' AND NOT too_few_images
ORDER BY task, objective, source, n_asked, seed, run_id

-- name: pool_ends
SELECT task, source, n_asked, count(*) AS runs, any_value(error) AS error FROM runs
WHERE too_few_images GROUP BY task, source, n_asked ORDER BY ALL

-- name: settled
SELECT run_id FROM runs WHERE status = 'done' OR too_few_images

-- name: provenance
SELECT git_commit, git_dirty, device, weights, versions, count(*) AS runs,
       min(started) AS first, max(finished) AS last
FROM runs WHERE status = 'done' GROUP BY ALL ORDER BY last DESC

-- name: run_specs
SELECT DISTINCT selected.run_id, selected.n_asked, selected.seed, kept.specs.spec
FROM selected JOIN kept.runs AS run ON run.run_id = selected.run_id JOIN kept.specs USING (spec_id)
WHERE (selected.preset, selected.task, selected.model) = ($preset, $task, $model)
AND selected.objective IN ($objective, '')
