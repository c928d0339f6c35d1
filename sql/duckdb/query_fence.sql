-- Purpose:    close the fence: no file but those allowed, no extension, no setting.
-- Parameters: {paths} and {directories}, lists of what the user allows to be read
SET GLOBAL allow_community_extensions = false;
SET GLOBAL allow_persistent_secrets = false;
SET GLOBAL allowed_paths = {paths};
SET GLOBAL allowed_directories = {directories};
SET GLOBAL enable_external_access = false;
SET GLOBAL lock_configuration = true
