CREATE TABLE `artifacts` (
	`sha256` text PRIMARY KEY NOT NULL,
	`length` integer NOT NULL,
	`stored_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `assignments` (
	`device` text PRIMARY KEY NOT NULL,
	`director_epoch` integer NOT NULL,
	`generation` integer NOT NULL,
	`wanted_digest` text NOT NULL,
	`cohort` text,
	`issued_at_ms` integer NOT NULL,
	`expires_at_ms` integer NOT NULL,
	`envelope` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `audit` (
	`id` integer PRIMARY KEY NOT NULL,
	`at_ms` integer NOT NULL,
	`actor` text NOT NULL,
	`action` text NOT NULL,
	`resource` text NOT NULL,
	`outcome` text NOT NULL,
	`metadata` text NOT NULL,
	`previous_hash` text NOT NULL,
	`hash` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `decisions` (
	`id` integer PRIMARY KEY NOT NULL,
	`rollout` text NOT NULL,
	`at_ms` integer NOT NULL,
	`record` text NOT NULL,
	`inputs` text NOT NULL,
	`inputs_digest` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `decisions_by_rollout` ON `decisions` (`rollout`,`id`);--> statement-breakpoint
CREATE TABLE `device_states` (
	`device` text PRIMARY KEY NOT NULL,
	`presence` text,
	`last_seen_ms` integer,
	`report` text,
	`report_boot` text,
	`report_seq` integer NOT NULL,
	`report_at_ms` integer NOT NULL,
	`qualifications` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `devices` (
	`device` text PRIMARY KEY NOT NULL,
	`device_key` text NOT NULL,
	`public_key` text NOT NULL,
	`facts` text NOT NULL,
	`enrolled_at_ms` integer NOT NULL,
	`revoked_at_ms` integer
);
--> statement-breakpoint
CREATE TABLE `fleet` (
	`key` text PRIMARY KEY NOT NULL,
	`value` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `metadata` (
	`file` text PRIMARY KEY NOT NULL,
	`bytes` blob NOT NULL,
	`stored_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `notices` (
	`id` integer PRIMARY KEY NOT NULL,
	`device` text NOT NULL,
	`received_at_ms` integer NOT NULL,
	`notice` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `notices_by_device` ON `notices` (`device`,`id`);--> statement-breakpoint
CREATE TABLE `releases` (
	`model` text NOT NULL,
	`version` text NOT NULL,
	`stage` text NOT NULL,
	`published_at_ms` integer NOT NULL,
	`published_by` text NOT NULL,
	`manifest_sha256` text NOT NULL,
	`manifest` text NOT NULL,
	`signed_by` text NOT NULL,
	PRIMARY KEY(`model`, `version`)
);
--> statement-breakpoint
CREATE TABLE `rollouts` (
	`id` text PRIMARY KEY NOT NULL,
	`model` text NOT NULL,
	`state` text NOT NULL,
	`created_at_ms` integer NOT NULL,
	`rollout` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `seen` (
	`device` text NOT NULL,
	`boot` text NOT NULL,
	`ranges` text NOT NULL,
	`used_at_ms` integer NOT NULL,
	PRIMARY KEY(`device`, `boot`)
);
--> statement-breakpoint
CREATE TABLE `enrolment_tokens` (
	`hash` text PRIMARY KEY NOT NULL,
	`uses_left` integer NOT NULL,
	`expires_at_ms` integer NOT NULL,
	`labels` text NOT NULL,
	`created_by` text NOT NULL,
	`created_at_ms` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `windows` (
	`rollout` text NOT NULL,
	`wave` integer NOT NULL,
	`share` integer NOT NULL,
	`model` text NOT NULL,
	`version` text NOT NULL,
	`arm` text NOT NULL,
	`profile` text NOT NULL,
	`shape` text NOT NULL,
	`minute` integer NOT NULL,
	`messages` integer NOT NULL,
	`requests` integer NOT NULL,
	`errors` integer NOT NULL,
	`latency_bad` integer NOT NULL,
	`labelled` integer NOT NULL,
	`correct` integer NOT NULL,
	`window` blob NOT NULL,
	PRIMARY KEY(`rollout`, `wave`, `share`, `model`, `version`, `arm`, `profile`, `shape`, `minute`)
);
--> statement-breakpoint
CREATE INDEX `windows_by_minute` ON `windows` (`minute`);