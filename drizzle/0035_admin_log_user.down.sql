DROP INDEX "admin_log_user";
