-- Purpose:    settings of a database that runs the user's SQL; the fence follows.
-- Parameters: {memory} text such as '64MiB', {threads} count, {folder} where it may
--             spill ('' for nowhere), {is_ordered} whether to keep the order of rows,
--             {optimizers} that are off
-- GLOBAL, because every worker has a connection of its own (theirs show no progress). The time zone is fixed, so
-- that casts give the same on every machine. Of the optimizers, those that may swap the
-- sides of a join are off where rows must keep their order.
SET GLOBAL memory_limit = {memory};
SET GLOBAL threads = {threads};
SET GLOBAL temp_directory = {folder};
SET GLOBAL preserve_insertion_order = {is_ordered};
SET GLOBAL disabled_optimizers = {optimizers};
SET GLOBAL TimeZone = 'UTC';
SET enable_progress_bar = false;
SET GLOBAL errors_as_json = true;
SET GLOBAL python_enable_replacements = false;
SET GLOBAL autoinstall_known_extensions = false;
SET GLOBAL autoload_known_extensions = false
