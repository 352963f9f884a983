-- The schema of the first release, 0.1.0, as its own code made it, with a film and its report. Never to be changed.
CREATE TABLE discarded_heatmaps (
	gradcam VARCHAR(64) NOT NULL,
	discarded_at DOUBLE NOT NULL,
	PRIMARY KEY (gradcam)
);
CREATE TABLE films (
	id VARCHAR(32) NOT NULL,
	sha256 VARCHAR(64) NOT NULL,
	name VARCHAR(200) NOT NULL,
	format VARCHAR(16) NOT NULL,
	task VARCHAR(64) NOT NULL,
	upload VARCHAR(32) NOT NULL,
	state VARCHAR(16) NOT NULL,
	error VARCHAR NOT NULL,
	claim VARCHAR(32) NOT NULL,
	lease_until DOUBLE NOT NULL,
	attempts INTEGER NOT NULL,
	gradcam VARCHAR(64) NOT NULL,
	gradcam_written BOOLEAN NOT NULL,
	created_at DOUBLE NOT NULL,
	read_at DOUBLE,
	thumbnail BLOB NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX films_unread ON films (state, lease_until);
CREATE INDEX films_newest ON films (created_at, id);
CREATE INDEX ix_films_upload ON films (upload);
CREATE INDEX ix_films_sha256 ON films (sha256);
CREATE TABLE refusals (
	id INTEGER NOT NULL,
	upload VARCHAR(32) NOT NULL,
	name VARCHAR(200) NOT NULL,
	sentence VARCHAR NOT NULL,
	created_at DOUBLE NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX ix_refusals_upload ON refusals (upload);
CREATE TABLE reports (
	film_id VARCHAR(32) NOT NULL,
	json VARCHAR NOT NULL,
	maps BLOB NOT NULL,
	model_sha256 VARCHAR(64) NOT NULL,
	top_label VARCHAR(64) NOT NULL,
	top_probability DOUBLE NOT NULL,
	above INTEGER NOT NULL,
	PRIMARY KEY (film_id),
	FOREIGN KEY(film_id) REFERENCES films (id) ON DELETE CASCADE
);
INSERT INTO films VALUES (
    'f11a', 'aa', 'old film.png', 'PNG', 'chestxray14', 'u1', 'read', '', '', 1.0, 1, '', 0, 100.0, 101.0, x'ffd8'
);
INSERT INTO reports VALUES ('f11a', '{}', x'00', 'bb', 'Effusion', 0.25, 1);
